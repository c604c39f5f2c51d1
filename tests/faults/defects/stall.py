"""A worker whose event loop a reading can block."""

import time

from ingest.formats import native
from ingest.formats.times import Bounds
from schemas.columns import Columns

BLOCKER = "blocker"
"""The device whose readings do it."""
BLOCKED_S = 60.0


def install() -> None:
    """Have decoding sleep, as an endless computation would."""
    decode = native.decode

    def stalling(body: bytes, bounds: Bounds, *, partial: bool = False) -> Columns:
        columns = decode(body, bounds, partial=partial)
        if any(key.device == BLOCKER for key in columns.series):
            time.sleep(BLOCKED_S)
        return columns

    native.decode = stalling


DEFECTS = {"stall": install}
