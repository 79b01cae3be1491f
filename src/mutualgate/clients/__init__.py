"""Clients, their credentials, and the states of both."""

from mutualgate.clients import states
from mutualgate.clients.service import Clients, ClientView, Page, Revoked, find, subject

__all__ = ["ClientView", "Clients", "Page", "Revoked", "find", "states", "subject"]
