"""Defects that a trial gives to its workers, patched in from outside: the product holds no switch for any of them.

`sitecustomize` installs the one named in `FAULTS_DEFECT` into every Python below the trial, the supervisor's workers
among them.
"""

from tests.faults.defects import clock, mutations, stall

DEFECTS = {**mutations.DEFECTS, **stall.DEFECTS, **clock.DEFECTS}
"""What each patches in, by name."""


def install(name: str) -> None:
    """Give this process a defect."""
    DEFECTS[name]()
