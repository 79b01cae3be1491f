"""Authorities: their keys, what they sign, what they revoke, and what an older one left behind.

Everything here but `service` is a pure function over bytes and values: time and randomness come in, nothing is stored.
"""
