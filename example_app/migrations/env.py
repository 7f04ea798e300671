"""Alembic's entry point. ``example_app.database`` runs the migrations over its own connection."""

from alembic import context

from example_app.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
