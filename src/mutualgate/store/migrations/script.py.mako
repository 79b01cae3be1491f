"""${message}"""

import sqlalchemy as sa
from alembic import op

from mutualgate.store.types import Id, Moment
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """From the version before."""
    ${upgrades if upgrades else "pass"}
