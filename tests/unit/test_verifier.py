"""The verifier's comparison and the record it is made from: each way to break a promise is found, and named."""

import math
from pathlib import Path

import numpy as np
import pytest

from load.batch import Batch, Layout, microseconds, rfc3339
from load.findings import EXAMPLES, Findings, chunks, compare
from load.ledger import Ledger, read_ledger
from schemas.columns import Columns, Receipt, SeriesKey

T0 = 1_795_428_000_000_000
SERIES = [SeriesKey("pump-7", "temperature"), SeriesKey("pump-8", "running", '{"site":"A"}')]

Reading = tuple[int, int, float]
CLAIMED: list[Reading] = [(0, T0, 21.5), (0, T0 + 1, 0.1), (1, T0, 1.0)]


def columns(readings: list[Reading]) -> Columns:
    code, ts, value = zip(*readings, strict=True) if readings else ((), (), ())
    return Columns(SERIES, np.array(code, np.int32), np.array(ts, np.int64), np.array(value, np.float64))


def found(claimed: list[Reading], rows: list[Reading]) -> Findings:
    findings = Findings()
    compare(findings, columns(claimed), columns(rows))
    return findings


def test_what_was_kept_is_exact() -> None:
    findings = found(CLAIMED, CLAIMED[::-1])
    assert findings == Findings(acknowledged=3, stored=3)
    assert findings.exact


def test_what_is_missing_is_named() -> None:
    findings = found(CLAIMED, CLAIMED[:2])
    assert (findings.missing, findings.kept) == (1, False)
    assert findings.examples == ["missing: pump-8 running {'site': 'A'} at 2026-11-23T10:00:00.000000Z: 1.0"]


@pytest.mark.parametrize("value", [math.nextafter(21.5, 22), -21.5])
def test_one_bit_is_a_difference(value: float) -> None:
    findings = found(CLAIMED, [(0, T0, value), *CLAIMED[1:]])
    assert (findings.different, findings.missing, findings.extra, findings.kept) == (1, 0, 0, False)
    assert f"21.5 acknowledged, {value!r} stored" in findings.examples[0]


def test_the_sign_of_zero_is_a_bit_too() -> None:
    assert found([(0, T0, 0.0)], [(0, T0, -0.0)]).different == 1


def test_what_is_there_twice_is_doubled() -> None:
    findings = found(CLAIMED, [*CLAIMED, CLAIMED[0], CLAIMED[0]])
    assert (findings.doubled, findings.stored, findings.kept) == (2, 5, False)


def test_extra_readings_break_no_promise() -> None:
    findings = found(CLAIMED, [*CLAIMED, (1, T0 + 5, 0.0), (-1, T0, 1.0), (-1, T0, 2.0)])
    assert (findings.extra, findings.doubled, findings.stored) == (3, 0, 6)
    assert findings.kept
    assert not findings.exact


def test_the_first_of_two_claims_counts() -> None:
    again = [*CLAIMED, (0, T0, 99.0)]
    assert found(again, CLAIMED).exact
    assert found(again, [(0, T0, 99.0), *CLAIMED[1:]]).different == 1


def test_nothing_against_nothing() -> None:
    assert found([], []).exact
    assert list(chunks(Ledger().columns())) == []


def test_examples_are_few_but_counts_are_whole() -> None:
    findings = found([(0, T0 + n, 1.0) for n in range(1_000)], [])
    assert findings.missing == 1_000
    assert len(findings.examples) == EXAMPLES
    assert str(findings).startswith("1,000 acknowledged, 0 stored: 1,000 missing")


def test_chunks_keep_devices_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("load.findings.CHUNK_READINGS", 10)
    ledger = Ledger()
    for n in range(8):
        for metric in ("a", "b"):
            ledger.note([Batch(f"pump-{n % 7}", [T0 + n, T0 + 100 + n], {metric: [1.0, 2.0]})], Receipt(2, 0))
    whole = ledger.columns()
    parts = list(chunks(whole))
    assert len(parts) > 1
    devices = [{key.device for key in part.series} for part in parts]
    assert sum(map(len, devices)) == len(set().union(*devices)) == 7

    def readings(part: Columns) -> list[tuple[SeriesKey, int, float]]:
        return [(part.series[c], int(t), float(v)) for c, t, v in zip(part.codes, part.ts, part.value, strict=True)]

    assert sorted(r for part in parts for r in readings(part)) == sorted(readings(whole))


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.note([Batch("Pumpe ü", [T0, T0 + 1], {"läuft": [True, None]}, {"b": "2", "a": "1"})], Receipt(1, 0))
    ledger.note([Batch("pump-7", [T0], {"t": [0.1]})], Receipt(0, 2))
    assert (ledger.accepted, ledger.duplicates, ledger.miscounted) == (1, 2, 1)
    ledger.save(tmp_path / "record.npz")
    record = read_ledger(tmp_path / "record.npz")
    assert record.series == [SeriesKey("Pumpe ü", "läuft", '{"a":"1","b":"2"}'), SeriesKey("pump-7", "t")]
    assert (record.codes.tolist(), record.ts.tolist(), record.value.tolist()) == ([0, 1], [T0, T0], [1.0, 0.1])


def test_times_survive_their_text() -> None:
    for ts in (T0, T0 + 1, T0 + 999_999, 946_684_800_000_000):
        assert microseconds(rfc3339(ts)) == ts
    assert Batch("d", [T0, T0 + 1], {"m": [1.0, 2.0]}).document(Layout.COLUMNS)["ts"] == [
        T0 // 1_000,
        "2026-11-23T10:00:00.000001Z",
    ]
