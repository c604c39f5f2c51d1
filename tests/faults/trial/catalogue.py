"""Every kind of fault there is."""

from tests.faults.trial.kinds import postgres
from tests.faults.trial.trial import Kind

KINDS: tuple[Kind, ...] = (*postgres.KINDS,)
