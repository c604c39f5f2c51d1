"""Defects that a trial gives to its workers, patched in from outside: the product holds no switch for any of them.

`sitecustomize` installs those named in `FAULTS_DEFECT` into every Python below the trial, the supervisor's workers
among them.
"""

from tests.faults.defects import clock, mutations, stall, witness

DEFECTS = {**mutations.DEFECTS, **stall.DEFECTS, **clock.DEFECTS, **witness.DEFECTS}
"""What each patches in, by name."""


def install(names: str) -> None:
    """Give this process defects; their names with commas between."""
    for name in names.split(","):
        DEFECTS[name]()
