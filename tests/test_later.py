"""Imports that wait: what they give, and that they are not seen."""

import subprocess
import sys

import pytest

from mutualgate import model


def test_a_package_offers_all_that_it_names() -> None:
    for name in model.__all__:
        offered = getattr(model, name)
        assert getattr(offered, "__name__", name) in (name, "Mapping")  # Facts is one
    assert sorted(model.__all__) == sorted(set(model.__all__))


def test_what_a_package_does_not_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"module 'mutualgate\.model' has no attribute 'Nobody'"):
        _ = model.Nobody  # type: ignore[attr-defined]


def test_a_module_is_imported_when_a_name_of_it_is_asked_for() -> None:
    said(
        "from mutualgate.model import Client",
        "print('mutualgate.model.client' in sys.modules, 'mutualgate.model.partner' in sys.modules)",
        says="True False",
    )


def test_a_postponed_module_is_the_real_one_once_it_is_used() -> None:
    said(
        "from mutualgate.later import postpone",
        "postpone('importlib.metadata', 'colorsys')",
        "import importlib.metadata, colorsys",
        "from importlib import metadata",
        "before = 'email' in sys.modules",
        "import typer",
        "print(before, colorsys.rgb_to_hls(0, 0, 0), hasattr(colorsys, 'nothing'), metadata.version('typer') > '0')",
        "print('email' in sys.modules, sys.modules['importlib.metadata'] is metadata)",
        says="False (0.0, 0.0, 0.0) False True\nTrue False",
    )


def said(*lines: str, says: str) -> None:
    """What a Python of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(["import sys", *lines])], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == says
