"""`python -m mutualgate`."""

from mutualgate.cli import main

main()
