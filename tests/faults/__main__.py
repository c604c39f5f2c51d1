"""`python -m tests.faults`."""

from tests.faults.trial.cli import start

start()
