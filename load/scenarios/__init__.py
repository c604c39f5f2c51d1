"""Load tests by name: who loads a running server, by which course, what it must keep to, and the report of it."""
