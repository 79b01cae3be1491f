"""Opening, transactions, and what becomes of files that are no store of ours."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rows import AT, authority, client

from mutualgate.clock import system_clock
from mutualgate.errors import BadInput, Conflict, Corrupt, MutualgateError, NotFound, Unavailable
from mutualgate.model.names import ClientName
from mutualgate.store import Store, sqlite


def test_what_was_committed_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    store = Store.open(path, system_clock)
    with store.transaction() as tx:
        added = client(tx, "anna", "ops", "admin")
    store.close()
    again = Store.open(path, system_clock)
    with again.reading() as tx:
        assert tx.clients.find(ClientName("anna")) == added
    again.close()


def test_statements_that_were_made_for_one_store_serve_the_others(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store.open(tmp_path / "other.sqlite3", system_clock)
    for one, name in ((store, "anna"), (other, "bert")):
        with one.transaction() as tx:
            added = client(tx, name, "ops")
            assert tx.clients.find(ClientName(name)) == added
        monkeypatch.setattr(sqlite._SHARED.dialect, "statement_compiler", None)
    with other.reading() as tx:
        assert tx.clients.find(ClientName("anna")) is None
    other.close()


def test_the_file_is_for_its_owner_only(store: Store) -> None:
    with store.transaction() as tx:
        client(tx)
    for file in store.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


@pytest.mark.parametrize("mode", [0o666, 0o640, 0o602])
def test_a_file_that_is_for_others_is_not_opened(store: Store, mode: int) -> None:
    store.close()
    store.path.chmod(mode)
    with pytest.raises(BadInput, match=f"store.sqlite3: others may .*Run: chmod 0600 {store.path}"):
        Store.open(store.path, system_clock)
    store.path.chmod(0o600)
    Store.open(store.path, system_clock).close()


@pytest.mark.parametrize("mode", [0o770, 0o703, 0o1777])
def test_one_in_a_folder_that_others_may_write_is_not_opened(store: Store, mode: int) -> None:
    store.close()
    folder = store.path.parent
    folder.chmod(mode)
    with pytest.raises(BadInput, match=f"others may write it .*Run: chmod go-w {folder}"):
        Store.open(store.path, system_clock)
    folder.chmod(0o755)
    Store.open(store.path, system_clock).close()


def test_one_in_a_volume_of_a_group_is_made_within_it(store: Store) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    store.close()
    folder = store.path.parent
    os.chown(folder, 65534, 65534)
    folder.chmod(0o2775)  # as Kubernetes' fsGroup makes volumes
    with pytest.raises(BadInput, match=f"others may write it .*Name one within it, .* --dir {folder}/gate$"):
        Store.open(store.path, system_clock)
    within = folder / "gate"
    within.mkdir(0o700)
    Store.open(within / "store.sqlite3", system_clock).close()


def test_an_exception_undoes_the_transaction(store: Store) -> None:
    def half_done() -> None:
        with store.transaction() as tx:
            client(tx, "anna")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_done()
    assert store.epoch() == 0
    with store.reading() as tx:
        assert tx.clients.find(ClientName("anna")) is None


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(MutualgateError), store.reading() as tx:
        client(tx, "anna")
    with store.transaction() as tx:
        client(tx, "anna")


def test_a_reader_sees_one_state_while_others_write(store: Store) -> None:
    with store.reading() as tx:
        assert tx.clients.count() == 0
        with store.transaction() as other:
            client(other)
        assert tx.clients.count() == 0
    with store.reading() as tx:
        assert tx.clients.count() == 1


def test_every_commit_is_synced_and_references_are_held(store: Store) -> None:
    with store.transaction() as tx:
        connection = tx.clients._connection
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL: survives a power cut
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_threads_wait_for_each_other(store: Store) -> None:
    def add(number: int) -> None:
        for index in range(5):
            with store.transaction() as tx:
                client(tx, f"c{number}-{index}")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.reading() as tx:
        assert tx.clients.count() == 40
        changes = tx.changes.since(0)
    assert changes is not None
    assert [change.seq for change in changes] == list(range(1, 41))


def test_processes_open_and_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    program = (
        "import sys; from pathlib import Path\n"
        "from mutualgate.store import Store; from mutualgate.clock import system_clock\n"
        "from mutualgate.model.names import ClientName\n"
        "store = Store.open(Path(sys.argv[1]), system_clock)\n"
        "for index in range(10):\n"
        "    with store.transaction() as tx:\n"
        "        tx.clients.add(ClientName(f'{sys.argv[2]}-{index}'), contact='', roles=[], at=system_clock())\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(path), f"p{number}"], stderr=subprocess.PIPE)
        for number in range(4)
    ]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    store = Store.open(path, system_clock)
    with store.reading() as tx:
        assert tx.clients.count() == 40
        assert tx.changes.epoch() == 40
    store.close()


def test_a_store_that_is_not_there_is_not_made_by_who_only_uses_it(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    with pytest.raises(NotFound, match="mutualgate up"):
        Store.open(path, system_clock, create=False)
    assert not path.exists()


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    path.write_text("hello " * 100)
    with pytest.raises(BadInput, match="no store of mutualgate"):
        Store.open(path, system_clock)
    assert path.read_text() == "hello " * 100


@pytest.mark.parametrize("tables", [[], ["things"], ["feed", "alembic_version"]])
@pytest.mark.parametrize("application", [0, 0x12345678])
def test_another_programs_database_is_left_alone(tmp_path: Path, application: int, tables: list[str]) -> None:
    if not application and tables != ["things"]:
        return  # nothing tells it from a store that is about to be made
    path = tmp_path / "store.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id={application}")
    for table in tables:
        connection.execute(f"CREATE TABLE {table} (id INTEGER)")
    connection.commit()
    connection.close()
    with pytest.raises(BadInput, match=str(path)):
        Store.open(path, system_clock)
    connection = sqlite3.connect(path)
    assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == tables
    connection.close()


def test_a_store_of_a_newer_program_is_left_alone(store: Store) -> None:
    store.close()
    connection = sqlite3.connect(store.path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(BadInput, match=r"9999.*newer mutualgate"):
        Store.open(store.path, system_clock)


def test_a_damaged_store_says_so(store: Store) -> None:
    with store.transaction() as tx:
        for number in range(200):
            client(tx, f"client {number}")
    store.close()
    content = bytearray(store.path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    store.path.write_bytes(content)
    with pytest.raises(Corrupt, match="damaged"):
        Store.open(store.path, system_clock)


def test_a_store_cut_short_says_so(store: Store) -> None:
    store.close()
    store.path.write_bytes(store.path.read_bytes()[:5000])
    with pytest.raises(MutualgateError) as refused:
        Store.open(store.path, system_clock)
    assert str(store.path) in str(refused.value)


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises((Unavailable, NotFound), match="store"):
        Store.open(tmp_path / "missing" / "store.sqlite3", system_clock)


_OPENS = """
import resource, sys
from pathlib import Path
from mutualgate.clock import system_clock
from mutualgate.errors import Unavailable
from mutualgate.store import Store
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    Store.open(Path(sys.argv[1]), system_clock)
except Unavailable as error:
    print(error.problem)
"""


def test_a_disk_without_room_for_what_stands_beside_the_store_is_full(store: Store) -> None:
    """The index of the log is the first file that is written, when no gate runs."""
    store.close()
    done = subprocess.run([sys.executable, "-c", _OPENS, str(store.path)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("the disk is full\n", "")


def test_a_disk_without_room_for_many_rows_is_full(store: Store) -> None:
    with store.transaction() as tx:
        issuer = authority(tx)

    def add() -> None:
        with store.transaction() as tx:
            tx._connection.exec_driver_sql("PRAGMA max_page_count=1")  # as few as there are
            tx.serials.note(issuer.id, (number.to_bytes(20) for number in range(1, 100_000)), "client", AT)

    with pytest.raises(Unavailable, match=r"the disk is full\. Nothing was changed"):
        add()
    with store.reading() as tx:
        assert not tx.serials.taken(issuer.id, (1).to_bytes(20))


def test_an_id_is_never_given_twice(store: Store) -> None:
    """A service behind keeps it as the identity."""
    with store.transaction() as tx:
        first = client(tx, "anna")
    connection = sqlite3.connect(store.path)
    connection.execute("DELETE FROM client")
    connection.commit()
    connection.close()
    with store.transaction() as tx:
        assert client(tx, "bert").id > first.id


def test_no_error_repeats_values(store: Store) -> None:
    """Statements carry keys and contacts."""
    with pytest.raises(MutualgateError) as refused, store.reading() as tx:
        tx.clients.add(ClientName("anna"), contact="anna@example.com", roles=[], at=AT)
    assert "anna@" not in str(refused.value)


def test_a_dangling_reference_is_refused(store: Store) -> None:
    with pytest.raises(Corrupt), store.transaction() as tx:
        authority(tx, estate=17)


def test_what_is_tried_is_not_kept(store: Store) -> None:
    with store.transaction() as tx:
        client(tx, "anna")
    epoch = store.epoch()
    with store.rehearsal() as tried:
        with tried.transaction() as tx:
            client(tx, "bert")
        with pytest.raises(Conflict), tried.transaction() as tx:  # noqa: PT012 - the first of both is undone, too
            client(tx, "carl")
            client(tx, "bert")
        assert tried.epoch() > epoch
        with tried.reading() as tx:
            assert [str(one.name) for one in tx.clients.page()] == ["anna", "bert"]
            assert tx.changes.since(epoch) is not None
        tried.close()
    assert store.epoch() == epoch
    with store.transaction() as tx:
        assert [str(one.name) for one in tx.clients.page()] == ["anna"]


def test_who_interrupts_while_a_connection_is_closed_sees_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    Store.open(path, system_clock).close()
    program = f"""
from pathlib import Path
from mutualgate.clock import system_clock
from mutualgate.store import Store, sqlite
def interrupted(connection): raise KeyboardInterrupt
store = Store.open(Path({str(path)!r}), system_clock)
with store.reading() as tx:
    tx.clients.count()
sqlite._SHARED.dialect.do_close = interrupted
try:
    store.close()
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
