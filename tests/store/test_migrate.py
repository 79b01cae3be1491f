import hashlib
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pki
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from conftest import Hands
from sqlalchemy import Engine, inspect, text

import mutualgate.store
from mutualgate.model.crl import CrlState, StoredCrl
from mutualgate.partners.names import name_hash
from mutualgate.store import Store, migrate, sqlite
from mutualgate.store.schema import VERSIONS, metadata
from mutualgate.store.types import EPOCH


def test_the_migrations_make_the_tables_that_the_program_uses(store: Store) -> None:
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def described(engine: Engine) -> dict[str, object]:
    """All tables of a store as the database knows them."""
    found: dict[str, object] = {}
    with engine.connect() as connection:
        looked = inspect(connection)
        for name in looked.get_table_names():
            sql = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": name}).scalar()
            found[name] = (
                {column["name"]: (str(column["type"]), column["nullable"]) for column in looked.get_columns(name)},
                looked.get_pk_constraint(name)["constrained_columns"],
                {(index["name"], *index["column_names"], index["unique"]) for index in looked.get_indexes(name)},
                {(one["name"], *one["column_names"]) for one in looked.get_unique_constraints(name)},
                {
                    (*key["constrained_columns"], key["referred_table"], *key["referred_columns"])
                    for key in looked.get_foreign_keys(name)
                },
                "AUTOINCREMENT" in str(sql),
                "WITHOUT ROWID" in str(sql),
            )
        wheres = text("SELECT name, sql LIKE '%WHERE%' FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        found["partial indexes"] = sorted((row[0], row[1]) for row in connection.execute(wheres))
        found["version"] = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        found["feed"] = [tuple(row) for row in connection.execute(text("SELECT * FROM feed"))]
    return found


def test_a_new_store_is_what_all_migrations_give(store: Store, tmp_path: Path) -> None:
    migrated = sqlite.engine(tmp_path / "migrated.sqlite3", create=True)
    with migrated.begin() as connection:
        migrate._upgrade(connection)
    assert described(migrated) == described(store._engine)
    migrated.dispose()


def test_a_revocation_list_of_an_older_store_is_kept(clock: Hands, tmp_path: Path) -> None:
    older = sqlite.engine(tmp_path / "older.sqlite3", create=True)
    with older.begin() as connection:
        migrate._upgrade(connection, "0004")
        connection.exec_driver_sql(
            "INSERT INTO authority (id, name, kind, admits, certificate, spki, not_after, created, revoked_epoch)"
            " VALUES (1, 'issuing', 'issuing', 'issued', x'', x'', 0, 0, 0), (2, 'other', 'adopted', 'signed', x'01',"
            " x'01', 0, 0, 0)"
        )
        connection.exec_driver_sql(
            "INSERT INTO crl (authority, number, this_update, next_update, epoch, der)"
            " VALUES (1, x'07', 0, 1000000, 5, x'3000'), (2, x'08', 0, 0, -1, x'')"
        )
    older.dispose()
    opened = Store.open(tmp_path / "older.sqlite3", clock)
    with opened.transaction() as tx:
        kept, number = tx.crls.find(1), tx.crls.state(2)
        assert kept == StoredCrl(1, 7, EPOCH, EPOCH + timedelta(seconds=1), 5, b"\x30\0")
        assert number == CrlState(2, 8, EPOCH, EPOCH, -1)
        tx.crls.put(replace(kept, number=8))
        assert tx.crls.find(1) == replace(kept, number=8)
    opened.close()


def test_what_an_older_store_has_seen_is_found_by_the_names_of_it(clock: Hands, tmp_path: Path) -> None:
    ca = pki.ca("issuing")
    above = hashlib.sha256(ca.certificate.subject.public_bytes()).digest()
    older = sqlite.engine(tmp_path / "older.sqlite3", create=True)
    with older.begin() as connection:
        migrate._upgrade(connection, "0005")
        for number, chain in enumerate((pki.leaf(ca, "a").der + ca.der, b"\x30\x03abc", pki.leaf(None, "b").der), 1):
            connection.exec_driver_sql(
                "INSERT INTO seen (fingerprint, chain, site, path, first_at, last_at, count, reason, credential,"
                " subject, peer) VALUES (?, ?, 'main', '/', 0, 0, 1, '', '', '', '')",
                (number.to_bytes(32), chain),
            )
    older.dispose()
    opened = Store.open(tmp_path / "older.sqlite3", clock)
    with opened.reading() as tx:
        for name, those in ((above, [1, 2]), (name_hash("dn:CN=b"), [2, 3])):
            found = tx.seen.concerned([], [name])
            assert found is not None
            assert sorted(one[-1] for one in found) == those, "and what cannot be read"
    opened.close()


def test_of_what_an_older_store_has_seen_nobody_knows_who_signed_it(clock: Hands, tmp_path: Path) -> None:
    older = sqlite.engine(tmp_path / "older.sqlite3", create=True)
    with older.begin() as connection:
        migrate._upgrade(connection, "0009")
        connection.exec_driver_sql(
            "INSERT INTO seen (fingerprint, chain, site, path, first_at, last_at, count, reason, credential, subject,"
            " peer) VALUES (?, x'3000', 'main', '/', 0, 0, 1, '', 'partner', 'CN=a', '192.0.2.1')",
            (b"f" * 32,),
        )
    older.dispose()
    opened = Store.open(tmp_path / "older.sqlite3", clock)
    with opened.transaction() as tx:
        before = tx.seen.find(b"f" * 32)
        assert before is not None
        assert before.signer is None
        tx.seen.add_many([replace(before, signer=b"k" * 32)])
        assert [row[:3] for part in tx.seen.shown(EPOCH, None, 10) for row in part] == [
            (b"f" * 32, b"\x30\0", b"k" * 32)
        ]
    opened.close()


def test_the_keys_of_an_older_store_stay_whose_they_are(clock: Hands, tmp_path: Path) -> None:
    older = sqlite.engine(tmp_path / "older.sqlite3", create=True)
    with older.begin() as connection:
        migrate._upgrade(connection, "0011")
        connection.exec_driver_sql(
            "INSERT INTO client (id, name, name_key, contact, state, created) VALUES (1, 'a', 'a', '', 'active', 0)"
        )
        connection.exec_driver_sql("INSERT INTO key_owner (spki, client) VALUES (?, 1)", (b"k" * 32,))
    older.dispose()
    opened = Store.open(tmp_path / "older.sqlite3", clock)
    with opened.transaction() as tx:
        assert tx.credentials.key_owner(b"k" * 32) == 1
        assert tx.credentials.compromised([b"k" * 32]) == {}
        tx.credentials.set_compromised([b"k" * 32], EPOCH)
        assert tx.credentials.compromised([b"k" * 32]) == {b"k" * 32: EPOCH}
    opened.close()


def test_a_store_is_made_without_the_migration_tool_and_other_dialects(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from mutualgate.store import Store; from mutualgate.clock import system_clock\n"
        "Store.open(Path(sys.argv[1]), system_clock)\n"
        "assert 'alembic' not in sys.modules and 'sqlalchemy.dialects.postgresql' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "new.sqlite3")], check=True)


def test_the_known_versions_are_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(mutualgate.store.__file__).parent / "migrations"))
    revisions = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(reversed([script.revision for script in revisions])) == VERSIONS


def test_a_store_that_is_up_to_date_is_opened_without_the_migration_tool(store: Store) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from mutualgate.store import Store; from mutualgate.clock import system_clock\n"
        "Store.open(Path(sys.argv[1]), system_clock)\n"
        "assert 'alembic' not in sys.modules and 'cryptography' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(store.path)], check=True)
