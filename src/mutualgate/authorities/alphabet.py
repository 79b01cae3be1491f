"""What passwords and codes of ours are made of."""

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz"
"""Letters and digits that cannot be taken for one another (no 0 O o, 1 I l): ASCII, since readers differ beyond it."""
