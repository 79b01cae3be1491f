"""mutualgate: any web service behind mutual TLS, and plain words for who is let in and why."""

__version__ = "0.1.0"
