"""Puts the services together, and runs the gate. The one place that knows all of them."""

from mutualgate.app.change import InForce, change, change_trust
from mutualgate.app.folder import Folder
from mutualgate.app.services import Services, services

__all__ = ["Folder", "InForce", "Services", "change", "change_trust", "services"]
