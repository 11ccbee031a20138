"""The ledger on disk: one SQLite file, its formats, what waits in it, and what may leave it."""
