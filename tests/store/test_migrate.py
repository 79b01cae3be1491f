import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

import mutualgate.store
from mutualgate.store import Store, migrate, sqlite
from mutualgate.store.schema import VERSIONS, metadata


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
