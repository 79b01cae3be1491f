"""Who of a partner waits, or is outside its rules, in the order of names: a page of them reads no others."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """The index is new."""
    op.create_index("ix_member_partner_state", "member", ["partner", "state", "name"])
