"""The configuration as a value."""

from dataclasses import FrozenInstanceError

import pytest

from mutualgate.config import Upstream, parse

ROUTE = '[[sites.routes]]\npath = "/{0}"\nupstream = "http://127.0.0.1:{1}"\n'
SITE = '[[sites]]\nname = "{0}"\nhosts = ["{0}.example"]\n'


def test_upstreams_are_numbered_once_in_the_order_of_the_routes() -> None:
    text = SITE.format("a") + ROUTE.format("x", 2) + ROUTE.format("y", 1) + SITE.format("b") + ROUTE.format("", 2)
    assert parse(text).destinations == (Upstream("http://127.0.0.1:2"), Upstream("http://127.0.0.1:1"))


def test_a_configuration_cannot_be_changed() -> None:
    config = parse("")
    with pytest.raises(FrozenInstanceError):
        config.sites = ()  # type: ignore[misc]  # which mypy knows, too
    assert hash(config) == hash(parse(""))


def test_where_it_was_read_from_does_not_matter() -> None:
    assert parse("", "a.toml") == parse("", "b.toml")
