"""`python -m tests.compose`."""

from tests.compose.cli import start

start()
