"""Run by alembic, on the connection and in the transaction that `mutualgate.store.migrate` gives."""

from alembic import context

from mutualgate.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,  # the caller's transaction holds everything, the version too
)
context.run_migrations()
