"""Who has a role, in the order of clients, in the index of roles: a page of them reads no others."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """The index is made anew."""
    op.drop_index("ix_client_role_role", "client_role")
    op.create_index("ix_client_role_role", "client_role", ["role", "client"])
