"""What was acknowledged, looked up over HTTP: every reading of every series that this process wrote, bit by bit."""

import json
from collections.abc import Callable, Sequence

import gevent.pool
import numpy as np

from load.batch import rfc3339
from load.findings import Findings, chunks, compare
from load.ledger import Ledger
from load.scenarios.api import Api
from schemas.columns import Columns, Float64s, Int64s, SeriesKey

AT_ONCE = 3
"""Streams; a worker of the server has eight at most, for everybody."""

Column = tuple[Int64s, Float64s]


def audit(ledger: Ledger, url: str, key: str, looked: Callable[[], None] = lambda: None) -> Findings:
    """Compare the ledger with what is stored between its first and its last reading; `looked` is told of each series.

    Raises `ApiError`.
    """
    findings = Findings(doubled=ledger.miscounted)
    if ledger.miscounted:
        findings.examples.append(f"{ledger.miscounted} answers counted other readings than were sent")
    columns = ledger.columns()
    if not len(columns):
        return findings
    since, until = int(columns.ts.min()), int(columns.ts.max()) + 1
    apis: list[Api] = [Api(url, key) for _ in range(AT_ONCE)]

    def look(series: SeriesKey) -> Column:
        api = apis.pop()
        try:
            return _column(api, series, since, until)
        finally:
            apis.append(api)
            looked()

    pool = gevent.pool.Pool(AT_ONCE)
    for part in chunks(columns):
        compare(findings, part, _joined(part.series, pool.map(look, part.series)))
    return findings


def _column(api: Api, series: SeriesKey, since: int, until: int) -> Column:
    """All readings of a series: µs (n,) and values (n,)."""
    params = [("device", series.device), ("metric", series.metric), ("exact", "true")]
    params += [("from", rfc3339(since)), ("to", rfc3339(until))]
    params += [(f"labels.{name}", value) for name, value in json.loads(series.labels).items()]
    lines = (api.csv("/v1/readings", params) or "").split("\n")[1:-1]
    cells = [line.split(",") for line in lines]
    ts = np.array([cell[0][:-1] for cell in cells], "datetime64[us]").astype(np.int64)
    return ts, np.array([float(cell[1]) for cell in cells], np.float64)


def _joined(series: list[SeriesKey], found: Sequence[Column]) -> Columns:
    codes = np.repeat(np.arange(len(series), dtype=np.int32), [len(ts) for ts, _ in found])
    return Columns(
        series, codes, np.concatenate([ts for ts, _ in found]), np.concatenate([value for _, value in found])
    )
