"""The store: four append-only logs, the catalogue, the registry and the keys of one project, in SQLite or PostgreSQL."""
