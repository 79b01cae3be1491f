"""Imports that wait: what they give, and that they are not seen."""

import subprocess
import sys


def test_a_postponed_module_is_the_real_one_once_it_is_used() -> None:
    said(
        "from mutualgate.later import postpone",
        "postpone('importlib.metadata')",
        "postpone('colorsys')",
        "import importlib.metadata, colorsys",
        "from importlib import metadata",
        "before = 'email' in sys.modules",
        "import typer",
        "print(before, colorsys.rgb_to_hls(0, 0, 0), hasattr(colorsys, 'nothing'), metadata.version('typer') > '0')",
        "print('email' in sys.modules, sys.modules['importlib.metadata'] is metadata)",
        says="False (0.0, 0.0, 0.0) False True\nTrue False",
    )


def test_what_is_known_of_a_postponed_module_does_not_load_it() -> None:
    said(
        "import inspect",
        "from mutualgate.later import postpone",
        "postpone('asyncio', iscoroutine=inspect.iscoroutine)",
        "import asyncio",
        "early = asyncio.iscoroutine",
        "before = 'asyncio.events' in sys.modules",
        "import asyncio.queues",
        "print(early is inspect.iscoroutine, before, asyncio.iscoroutine is asyncio.coroutines.iscoroutine)",
        says="True False True",
    )


def said(*lines: str, says: str) -> None:
    """What a Python of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(["import sys", *lines])], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == says
