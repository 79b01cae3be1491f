"""The commands for a backup, as they stand in the document, while others write; and what is put back is whole."""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import installation
import pytest

from mutualgate import audit
from mutualgate.clock import system_clock
from mutualgate.store import Store

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "backup.md").read_text(encoding="utf-8")
TYPED = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FOUND_ON_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the program sqlite3 is not installed")
def test_a_backup_while_others_write_is_whole(tmp_path: Path) -> None:
    installed = installation.make(tmp_path / "mutualgate")
    done = threading.Event()
    begun = threading.Event()

    def write() -> None:
        services = installed.services()
        number = 0
        while not done.is_set():
            services.clients.add(f"client {number}")
            number += 1
            begun.set()
        services.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(60)
        shell = subprocess.run(
            ["sh", "-e", "-c", TYPED[0]],
            cwd=tmp_path,
            env={**os.environ, "PATH": FOUND_ON_PATH},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        done.set()
        writer.join()
    assert shell.returncode == 0, shell.stderr
    kept = tmp_path / "backup" / "store.sqlite3"
    assert kept.stat().st_mode & 0o077 == 0
    store = Store.open(kept, system_clock)
    try:
        assert isinstance(audit.verify(store), audit.Verified)
        with store.reading() as tx:
            added = [entry.action for entry in tx.audit.walk()].count("client.add")
            assert tx.clients.count() == added > 1
    finally:
        store.close()
