from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import mutualgate.store
from mutualgate.store import Store
from mutualgate.store.schema import VERSIONS, metadata


def test_the_migrations_make_the_tables_that_the_program_uses(store: Store) -> None:
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_known_versions_are_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(mutualgate.store.__file__).parent / "migrations"))
    revisions = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(reversed([script.revision for script in revisions])) == VERSIONS


def test_a_store_that_is_up_to_date_is_opened_without_the_migration_tool(store: Store) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from pathlib import Path\n"
        "from mutualgate.store import Store; from mutualgate.clock import system_clock\n"
        "Store.open(Path(sys.argv[1]), system_clock)\n"
        "assert 'alembic' not in sys.modules and 'cryptography' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(store.path)], check=True)
