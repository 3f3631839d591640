"""How Alembic runs here: on the connection that `Database.migrate` hands over, in its transaction."""

from alembic import context

from genre.serving.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
