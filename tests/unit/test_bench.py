"""The benchmark's pure parts: what it sends is what it says it sends, and its arithmetic is right."""

import gzip
import math
import os
from collections import Counter

import pytest

from ingest.formats import native, otlp, prometheus, senml, thingsboard
from ingest.formats.terms import Terms
from ingest.formats.times import Bounds
from ingest.inflate import unsnappy
from load.bench import proc
from load.bench.body import Door, Format, render
from load.bench.case import QUICK, Case, full, select
from load.bench.drive import Run, parse_answer
from load.bench.generator import merge
from load.bench.influx import count_points
from load.bench.meter import Meter, Reading
from load.bench.plan import METRICS, VALUES, Plan, device_name, value_place
from load.bench.runner import Ticks
from load.bench.stats import median, percentile, ratio, spread_ms
from load.bench.subject import parse_figures
from schemas.columns import Columns

BASE_MS = 1_795_428_000_123
EVERYTHING = slice(None)
TERMS = Terms(Bounds(0, 2 * BASE_MS * 1_000), BASE_MS * 1_000)


def door(form: Format, *, compress: bool = False) -> Door:
    return Door("127.0.0.1", 8000, "/v1/readings", "Bearer slk_x_y", form, compress)


def body_of(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    assert f"\r\nContent-Length: {len(body)}".encode() in head
    return gzip.decompress(body) if b"\r\nContent-Encoding: gzip" in head else body


def expected(plan: Plan, request: int) -> set[tuple[str, str, int, float]]:
    device, metrics, ticks = plan.of(request)
    return {
        (device_name(device), METRICS[m], plan.base_ms + tick, VALUES[value_place(device, m, tick)])
        for m in metrics
        for tick in ticks
    }


@pytest.mark.parametrize("batch", [1, 10, 100, 1_000])
@pytest.mark.parametrize("form", [Format.ROWS, Format.COLUMNS])
@pytest.mark.parametrize("compress", [False, True])
def test_bodies_decode_to_the_readings_of_the_plan(batch: int, form: Format, compress: bool) -> None:
    plan = Plan(batch, 5, BASE_MS, devices=2)
    bounds = Bounds(0, 2 * BASE_MS * 1_000, 10_000)
    for request, data in enumerate(render(plan, door(form, compress=compress), EVERYTHING)):
        columns = native.decode(body_of(data), bounds)
        names = [columns.series[code] for code in columns.codes]
        decoded = {
            (name.device, name.metric, int(ts) // 1_000, float(value))
            for name, ts, value in zip(names, columns.ts, columns.value, strict=True)
        }
        assert len(columns) == batch
        assert decoded == expected(plan, request)


@pytest.mark.parametrize("batch", [1, 100])
def test_line_protocol_says_the_same(batch: int) -> None:
    plan = Plan(batch, 5, BASE_MS, devices=2)
    for request, data in enumerate(render(plan, door(Format.LINES), EVERYTHING)):
        said = set()
        for line in body_of(data).decode().split("\n"):
            name, fields, ms = line.split(" ")
            metric, _, device = name.partition(",device=")
            said.add((device, metric, int(ms), float(fields.removeprefix("value="))))
        assert said == expected(plan, request)


@pytest.mark.parametrize("batch", [1, 100])
def test_remote_write_says_the_same(batch: int) -> None:
    plan = Plan(batch, 5, BASE_MS, devices=2)
    for request, data in enumerate(render(plan, door(Format.SAMPLES), EVERYTHING)):
        assert said_by(prometheus.decode(unsnappy(body_of(data), 1 << 20), TERMS)) == expected(plan, request)


@pytest.mark.parametrize("batch", [1, 100])
def test_otlp_says_the_same(batch: int) -> None:
    plan = Plan(batch, 5, BASE_MS, devices=2)
    for request, data in enumerate(render(plan, door(Format.POINTS), EVERYTHING)):
        assert said_by(otlp.decode(body_of(data), TERMS)) == expected(plan, request)


def said_by(columns: Columns) -> set[tuple[str, str, int, float]]:
    """Columns as `expected` has them."""
    names = [columns.series[code] for code in columns.codes]
    times, values = (columns.ts // 1_000).tolist(), columns.value.tolist()
    return {(key.device, key.metric, *rest) for key, *rest in zip(names, times, values, strict=True)}


@pytest.mark.parametrize("form", [Format.PACKS, Format.CBORPACKS, Format.THINGS])
@pytest.mark.parametrize("batch", [1, 100])
def test_things_say_the_same(batch: int, form: Format) -> None:
    plan = Plan(batch, 5, BASE_MS, devices=2)
    terms = Terms(Bounds(0, 2 * BASE_MS * 1_000), BASE_MS * 1_000, own_device="bench")
    decode = {
        Format.PACKS: senml.decode_json, Format.CBORPACKS: senml.decode_cbor, Format.THINGS: thingsboard.decode,
    }[form]  # fmt: skip
    for request, data in enumerate(render(plan, door(form), EVERYTHING)):
        columns = decode(body_of(data), terms)
        said = set()
        for code, ts, value in zip(columns.codes.tolist(), columns.ts.tolist(), columns.value.tolist(), strict=True):
            device, metric, _ = columns.series[code]
            device, metric = metric.split(".") if form is Format.THINGS else (device, metric)
            said.add((device, metric, ts // 1_000, value))
        assert said == expected(plan, request)


@pytest.mark.parametrize("batch", [1, 5, 10, 1_000])
def test_no_two_readings_of_a_plan_are_the_same(batch: int) -> None:
    plan = Plan(batch, 40, BASE_MS, devices=3)
    series, ts, _ = plan.columns(0, plan.count)
    assert len(set(zip(series.tolist(), ts.tolist(), strict=True))) == 40 * batch
    assert ts.max() < (BASE_MS + plan.ticks) * 1_000


def test_columns_are_the_readings_of_the_requests() -> None:
    plan = Plan(10, 7, BASE_MS, devices=3)
    series, ts, value = plan.columns(2, 5)
    said = {
        (device_name(n // len(METRICS)), METRICS[n % len(METRICS)], at // 1_000, v)
        for n, at, v in zip(series.tolist(), ts.tolist(), value.tolist(), strict=True)
    }
    assert said == set.union(*(expected(plan, request) for request in (2, 3, 4)))


def test_one_request_in_ten_is_a_repetition_of_an_answered_one() -> None:
    plan = Plan(1, 1_000, BASE_MS, duplicates=10)
    order = plan.order()
    assert len(order) == 1_000
    assert len(set(order)) == 900
    late = [place for place in range(200, 1_000) if order[place] in order[:place]]
    assert len(late) == 80
    assert all(order.index(order[place]) <= place - plan.lag for place in late)
    counts = [len(plan.columns(first, until)[0]) for first, until in ((0, 500), (500, 1_000))]
    assert sum(counts) == 900


def test_generators_share_a_plan_without_gap_or_overlap() -> None:
    plan = Plan(1, 11, BASE_MS)
    whole = render(plan, door(Format.ROWS), EVERYTHING)
    shares = [render(plan, door(Format.ROWS), slice(number, None, 3)) for number in range(3)]
    assert [whole[0::3], whole[1::3], whole[2::3]] == shares


def test_ticks_are_given_once() -> None:
    ticks = Ticks()
    first = ticks.take(1_000_000)
    assert ticks.take(1) == first + 1_000_000


def test_cases() -> None:
    assert Case(1_000, Format.COLUMNS, True, 2, 10).name == "1000-columns-gzip-2w-dup10"
    names = [case.name for case in full()]
    assert len(names) == len(set(names)) == 112
    assert {case.name for case in QUICK} <= set(names)
    assert [case.name for case in select(full(), ["100-*s-2w"])] == [f"100-{form}-2w" for form in Format]
    assert select(QUICK, []) == QUICK


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", (200, b"{}")),
        (b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", (204, b"")),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nno", None),
        (b"HTTP/1.1 200 OK\r\ncontent-len", None),
        (b"", None),
    ],
)
def test_parse_answer(data: bytes, answer: tuple[int, bytes] | None) -> None:
    assert parse_answer(data) == answer


def test_merge() -> None:
    runs = [Run(10.0, 12.0, 0.5), Run(9.0, 11.0, 0.25)]
    runs[0].latencies.extend([0.3, 0.1])
    runs[1].latencies.extend([0.2])
    runs[0].statuses[200], runs[1].statuses[200], runs[1].statuses[503] = 2, 1, 4
    whole = merge(runs)
    assert (whole.began, whole.ended, whole.cpu_s) == (9.0, 12.0, 0.75)
    assert list(whole.latencies) == [0.1, 0.2, 0.3]
    assert whole.statuses == Counter({200: 3, 503: 4})


def test_percentiles() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.01) == 7.0
    assert math.isnan(percentile([], 0.5))
    assert spread_ms([0.001, 0.002]) == {"p50": 1.0, "p95": 2.0, "p99": 2.0, "max": 2.0}
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert math.isnan(ratio(1.0, 0.0))


def test_parse_stat_with_a_name_that_looks_like_fields() -> None:
    fields = "S 17 1 1 0 -1 4194560 1 2 3 4 11 22 33 44 20 0 1 0 5"
    assert proc.parse_stat(f"42 (a) R (b) {fields}") == proc.Stat(42, "a) R (b", 17, 110)


def test_family() -> None:
    parents = {1: 0, 2: 1, 3: 2, 4: 2, 5: 4, 6: 1}
    stats = {pid: proc.Stat(pid, "", parent, 0) for pid, parent in parents.items()}
    assert proc.family(stats, 2) == {2, 3, 4, 5}
    assert proc.family(stats, 1, without={4}) == {1, 2, 3, 6}
    assert proc.family(stats, 99) == set()


def test_memory_and_busy() -> None:
    assert proc.parse_memory("Name:\tx\nVmHWM:\t  2048 kB\nThreads:\t3\n") == {"VmHWM": 2.0}
    assert proc.parse_busy("cpu  1 2 4 1000 1000 8 16 32 0 0\n") == 31


@pytest.mark.skipif(not proc.PROC.joinpath("self/stat").exists(), reason="Linux only")
def test_the_meter_sees_this_process_work() -> None:
    meter = Meter({"server": os.getpid()})
    before, began = meter.read(), os.times()
    while os.times().user - began.user < 0.1:
        sum(range(10_000))
    assert 0.08 <= meter.read().since(before).parts["server"] <= 2.0
    assert proc.memory(os.getpid())["peak"] > 1


def test_since() -> None:
    before = Reading({"server": 1.0}, {"backend": 0.5}, 10.0)
    now = Reading({"server": 3.0, "redis": 0.25}, {"backend": 0.75, "walwriter": 0.5}, 12.0)
    used = now.since(before)
    assert (used.parts, used.busy_s) == ({"server": 2.0, "redis": 0.25}, 2.0)
    assert used.roles == {"backend": 0.25, "walwriter": 0.5}


def test_parse_figures() -> None:
    text = '# HELP a b\na_total{x="1 2"} 2.0\na_total{x="3"} 3.0\n\nb 1e3\n'
    assert parse_figures(text) == {"a_total": 5.0, "b": 1_000.0}


def test_count_points() -> None:
    series = [{"name": name, "columns": ["time", "count"], "values": [["1970", n]]} for name, n in (("a", 2), ("b", 3))]
    assert count_points({"results": [{"series": series}]}) == 5
    assert count_points({"results": [{}]}) == 0
