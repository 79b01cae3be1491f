"""Authorities: their keys, what they sign, what they revoke, and what an older one left behind.

`service` has the rules and transactions, with `keyring`, `issuing`, `lists`, `hosting` and `taking_over` as its parts.
All else is pure functions over bytes and values: time and randomness come in, nothing is stored.
"""
