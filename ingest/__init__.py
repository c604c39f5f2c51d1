"""The write path: bytes → Columns → group commit → PostgreSQL."""
