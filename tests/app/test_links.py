"""Where invitations' links lead."""

from pathlib import Path

import pytest

from mutualgate.app.links import portal_url
from mutualgate.config import parse
from mutualgate.errors import NotFound


def test_without_a_portal_there_is_no_address(tmp_path: Path) -> None:
    text = '[[sites]]\nname = "main"\nhosts = ["a.example"]\nroutes = [{ path = "/", upstream = "demo" }]\n'
    with pytest.raises(NotFound, match="portal"):
        portal_url(parse(text, tmp_path / "mutualgate.toml"))
