"""Reads what others hand in: files, certificates and keys, up to whether a key is good enough.

Knows no authority, no client and no partner: whose a certificate is, others find out.
"""
