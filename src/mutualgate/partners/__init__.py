"""Accepts what others made: clients' own certificates as pins, and the CAs of partners within their names.

Knows whose a certificate may be and what it may vouch for. Whether a chain is admitted, the judge decides.
"""
