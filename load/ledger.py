"""The record of what the server has acknowledged: the claim that the verifier holds against the database."""

import json
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from load.batch import Batch, Cell, canonical
from schemas.columns import Columns, Receipt, SeriesKey


class Ledger:
    """Acknowledged readings, in the order of their acknowledgement; 20 bytes each.

    `note` fits `Device(on_receipt=…)`. The order counts where a reading was sent twice with different values: the
    first one acknowledged is the one that must be stored.
    """

    def __init__(self) -> None:
        self.accepted = 0
        self.duplicates = 0
        self.miscounted = 0
        """Receipts whose `accepted + duplicates` were not the number of readings sent: each one is a broken promise."""
        self._codes: dict[SeriesKey, int] = {}
        self._code = array("i")
        self._ts = array("q")
        self._value = array("d")

    def __len__(self) -> int:
        return len(self._ts)

    def note(self, batches: Sequence[Batch], receipt: Receipt) -> None:
        """Enter the readings of one acknowledged request."""
        before = len(self)
        for batch in batches:
            labels = canonical(batch.labels)
            for metric, cells in batch.values.items():
                code = self._codes.setdefault(SeriesKey(batch.device, metric, labels), len(self._codes))
                self._enter(code, batch.ts, cells)
        self.accepted += receipt.accepted
        self.duplicates += receipt.duplicates
        self.miscounted += receipt.accepted + receipt.duplicates != len(self) - before

    def _enter(self, code: int, times: Sequence[int], cells: Sequence[Cell]) -> None:
        """Enter the readings of one series, all at once: a load test does this a million times a minute."""
        if None in cells:
            known = [(ts, cell) for ts, cell in zip(times, cells, strict=True) if cell is not None]
            times, cells = [ts for ts, _ in known], [cell for _, cell in known]
        self._code.extend([code] * len(cells))
        self._ts.extend(times)
        self._value.extend(cells)  # type: ignore[arg-type]  # None of them is None, and a boolean becomes 1.0 or 0.0

    def columns(self) -> Columns:
        """A copy of the record as it stands."""
        # By way of bytes, because an array that numpy looks into could not grow any more.
        return Columns(
            list(self._codes),
            np.frombuffer(self._code.tobytes(), np.int32),
            np.frombuffer(self._ts.tobytes(), np.int64),
            np.frombuffer(self._value.tobytes(), np.float64),
        )

    def save(self, path: Path) -> None:
        """Write the record for `python -m load.verifier`."""
        columns = self.columns()
        series = np.frombuffer(json.dumps(columns.series).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, series=series, codes=columns.codes, ts=columns.ts, value=columns.value)


def read_ledger(path: Path) -> Columns:
    """Read a record that `Ledger.save` has written."""
    with np.load(path, allow_pickle=False) as record:
        series = [SeriesKey(*names) for names in json.loads(record["series"].tobytes())]
        return Columns(series, record["codes"], record["ts"], record["value"])
