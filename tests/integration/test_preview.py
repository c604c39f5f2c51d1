"""The preview of a rule tells what the engine told, within its bounds, and lets others work meanwhile."""

import asyncio
import json
import random
import resource
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import pytest

from alerts import replay
from alerts.preview import AT_ONCE, Previewer, PreviewLimits
from alerts.rate import rates
from alerts.replay import Trail, stored
from schemas.errors import Overloaded
from schemas.preview import Lack, Preview, PreviewRequest
from schemas.times import to_datetime
from tests.conftest import Server
from tests.integration.writing import NOW, SECOND, Point, Workshop, rule_request, workshop

T = "temperature"
WARNING = {"severity": "warning", "above": 70.0}
PLAIN: dict[str, Any] = {"condition": {"type": "threshold", "levels": [WARNING]}}
RISING = {"severity": "warning", "above": 1.0, "clear": 0.5}
FALLING = {"severity": "critical", "below": -1.5}
RULES: dict[str, dict[str, Any]] = {
    "levels with hysteresis": {},
    "for_s": PLAIN | {"for_s": 30},
    "keep_firing_for_s": PLAIN | {"keep_firing_for_s": 45},
    "both durations": {"for_s": 12, "keep_firing_for_s": 20},
    "a range": {"condition": {"type": "range", "outside": [40.0, 76.0], "severity": "critical"}},
    "a rate": {"condition": {"type": "rate", "levels": [RISING, FALLING], "window_s": 25}},
    "a rate that lasts": {
        "condition": {"type": "rate", "levels": [{"severity": "info", "above": 0.1}], "window_s": 60},
        "for_s": 5,
        "keep_firing_for_s": 5,
    },
}


@pytest.fixture
async def shop(database: str) -> AsyncIterator[Workshop]:
    """A worker's parts on a database of its own."""
    async with workshop(database) as shop:
        yield shop


def asked(since: float = -60, until: float = 100_000, limit: int = 1_000, **rule: Any) -> PreviewRequest:
    """A preview of the tests' rule with these changes, from and to seconds after `NOW`."""
    document = {"rule": rule_request(**rule).model_dump(mode="json"), "limit": limit}
    span = {"from": NOW // 1_000 + round(since * 1_000), "to": NOW // 1_000 + round(until * 1_000)}
    return PreviewRequest.model_validate(document | span)


def words(found: Preview) -> list[tuple[str, str, float]]:
    """The transitions: event, severity, value."""
    return [(each.event.value, each.severity.value, each.value) for each in found.transitions]


async def recorded(shop: Workshop) -> list[tuple[Any, ...]]:
    """What the engine recorded, in the order of the readings' own time, then of series."""
    found = await shop.pool.fetch("SELECT data FROM alert_events ORDER BY data->>'at', device")
    told = [json.loads(each["data"]) for each in found]
    names = ("device", "metric", "labels", "severity", "value", "threshold")
    return [
        (each["event"], each["at"], *(each["alert"][name] for name in names))
        for each in told
        if not each["event"].startswith("flapping")
    ]


def shown(found: Preview) -> list[tuple[Any, ...]]:
    """What the preview shows, as `recorded` has it."""
    names = ("event", "at", "device", "metric", "labels", "severity", "value", "threshold")
    return [tuple(each[name] for name in names) for each in found.model_dump(mode="json")["transitions"]]


def walk(rng: random.Random, count: int) -> Iterable[tuple[float, float]]:
    """Seconds after `NOW` and values that wander around the limits; whole milliseconds, as they go out."""
    seconds, value = rng.random(), 60.0
    for _ in range(count):
        seconds += rng.choice([0.25, 1, 1, 1, 4, 40])
        value = min(95.0, max(35.0, value + rng.gauss(0, 6)))
        yield round(seconds, 3), round(value, 2)


async def write_history(shop: Workshop) -> int:
    """Three devices' readings, in groups of one and of many, so that some lie in rows and some in runs."""
    rng, total = random.Random(7), 0
    for device in ("pump-1", "pump-2", "pump-30"):
        points: Sequence[Point] = [(T, *each) for each in walk(rng, 700)]
        total += len(points)
        while points:
            size = rng.choice([1, 2, 40, 300])
            await shop.write(*points[:size], device=device, arrived_s=points[0][1])
            points = points[size:]
    return total


@pytest.mark.parametrize("changes", RULES.values(), ids=RULES)
async def test_it_tells_what_the_engine_told(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(replay, "CHUNK", 37)  # so that states, and the windows of rates, cross many chunks
    await shop.rule(device="pump-?", **changes)
    total = await write_history(shop)
    plain, runs = await shop.sizes()
    assert plain, "none lies in rows"
    assert runs, "none lies in runs"
    found = await Previewer(shop.pool).run(asked(device="pump-?", **changes))
    expected = await recorded(shop)
    assert len(expected) > 10
    assert shown(found) == expected
    assert (found.series, found.readings, found.truncated) == (2, total * 2 // 3, False)


async def test_a_rate_sees_what_was_stored_before_the_beginning(shop: Workshop) -> None:
    rate: dict[str, Any] = {"condition": {"type": "rate", "levels": [RISING], "window_s": 10}}
    await shop.write((T, 0, 10), (T, 5, 20))
    found = await Previewer(shop.pool).run(asked(since=5, **rate))
    assert words(found) == [("firing", "warning", 2.0)]
    assert found.readings == 1, "what lies before is not judged"
    assert words(await Previewer(shop.pool).run(asked(since=5, until=5.001, **rate))) == words(found)
    assert words(await Previewer(shop.pool).run(asked(since=0, until=5, **rate))) == [], "'to' is not part of it"


async def test_a_trail_gives_the_same_rates_as_all_readings(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "CHUNK", 10)
    points: list[Point] = [(T, *each) for each in walk(random.Random(3), 400)]
    for first in range(0, len(points), 8):
        await shop.write(*points[first : first + 8])
    everything = [(NOW + round(seconds * SECOND), value) for _, seconds, value in points]
    series_id = await shop.pool.fetchval("SELECT id FROM series")
    for window_us in (SECOND, 20 * SECOND, 900 * SECOND):
        async with shop.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            trail = Trail(stored(connection, series_id, NOW - window_us, NOW + 10**12), window_us)
            pieces = [chunk async for chunk in stored(connection, series_id, NOW, NOW + 10**12) if chunk]
            found = [each for piece in pieces for each in rates(await trail.before(piece), piece, window_us)]
        assert [each for piece in pieces for each in piece] == everything
        assert len(pieces) > 10
        assert found == rates([], everything, window_us)


async def test_a_chunk_is_bounded_whatever_it_is_read_from(shop: Workshop) -> None:
    await shop.write((T, 0, 0))
    series_id = await shop.pool.fetchval("SELECT id FROM series")
    await shop.pool.execute(
        "INSERT INTO readings SELECT $1, $2::timestamptz + n * interval '1 ms', n FROM generate_series(1, 5000) n",
        series_id,
        to_datetime(NOW),
    )
    async with shop.pool.acquire() as connection:
        plain = [len(chunk) async for chunk in stored(connection, series_id, NOW, NOW + 100 * SECOND)]
        await fill(shop, 5_000)
        mixed = [len(chunk) async for chunk in stored(connection, series_id, NOW, NOW + 10**12)]
    assert (sum(plain), max(plain)) == (5_001, replay.CHUNK)
    assert sum(mixed) == 10_002
    assert max(mixed) <= 2 * replay.CHUNK


async def test_only_series_that_the_rule_watches_are_read(shop: Workshop) -> None:
    for device in ("pump-1", "pump_1", "pump%1", "Pump-1", "pump-11"):
        await shop.write((T, 0, 99), device=device)
    await shop.write(("temperatures", 0, 99), device="pump-1")
    found = await Previewer(shop.pool).run(asked(device="pump?1"))
    assert [each.device for each in found.transitions] == ["pump%1", "pump-1", "pump_1"]
    assert [each.device for each in (await Previewer(shop.pool).run(asked(device="pump_1"))).transitions] == ["pump_1"]
    await shop.pool.execute("""UPDATE series SET labels = '{"site": "A", "line": "3"}' WHERE device = 'pump-11'""")
    found = await Previewer(shop.pool).run(asked(device="*", labels={"site": "A"}, enabled=False))
    assert [(each.device, each.labels) for each in found.transitions] == [("pump-11", {"site": "A", "line": "3"})]
    assert (await Previewer(shop.pool).run(asked(labels={"site": "B"}))).series == 0


async def test_the_first_transitions_by_time_are_shown(shop: Workshop) -> None:
    for device, offset in (("a", 3), ("b", 0), ("c", 3)):
        await shop.write(*[(T, offset + 10 * n, 99 if n % 2 == 0 else 0) for n in range(50)], device=device)
    whole = await Previewer(shop.pool).run(asked())
    assert (len(whole.transitions), whole.truncated, whole.truncated_by) == (150, False, None)
    assert [each.at for each in whole.transitions] == sorted(each.at for each in whole.transitions)
    assert [each.device for each in whole.transitions[:6]] == ["b", "a", "c", "b", "a", "c"]
    for limit in (1, 2, 20, 149):
        found = await Previewer(shop.pool).run(asked(limit=limit))
        assert found.transitions == whole.transitions[:limit]
        assert (found.truncated, found.truncated_by) == (True, Lack.TRANSITIONS)
    assert not (await Previewer(shop.pool).run(asked(limit=150))).truncated


async def test_its_bounds_say_what_they_cut(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "CHUNK", 100)
    for device in ("a", "b", "c"):
        await shop.write(*[(T, n, 99) for n in range(600)], device=device)

    async def within(**limits: Any) -> tuple[int, int, list[str], Lack | None]:
        found = await Previewer(shop.pool, PreviewLimits(**limits)).run(asked())
        assert found.truncated is (found.truncated_by is not None)
        return found.series, found.readings, [each.device for each in found.transitions], found.truncated_by

    assert await within() == (3, 1_800, ["a", "b", "c"], None)
    assert await within(series=2) == (2, 1_200, ["a", "b"], Lack.SERIES)
    assert await within(series=3) == (3, 1_800, ["a", "b", "c"], None)
    series, readings, devices, lack = await within(readings=700)
    assert (series, devices, lack) == (3, ["a", "b"], Lack.READINGS)
    assert 700 <= readings <= 1_000
    series, readings, devices, lack = await within(deadline_s=0)
    assert (series, devices, lack) == (3, [], Lack.DEADLINE)
    assert readings < 400


async def test_more_previews_at_once_than_a_worker_runs_are_refused(shop: Workshop) -> None:
    await shop.write((T, 0, 99))
    previewer = Previewer(shop.pool)
    outcomes = await asyncio.gather(*(previewer.run(asked()) for _ in range(AT_ONCE + 1)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [type(error) for error in refused] == [Overloaded]
    assert len((await previewer.run(asked())).transitions) == 1, "a refused one left its mark"


async def fill(shop: Workshop, count: int) -> None:
    """So many readings of one series, ten a second, in runs as a gateway's batches make them; the last one fires."""
    await shop.write((T, 0, 50))
    series_id = await shop.pool.fetchval("SELECT id FROM series")
    for day in range(count // 864_000 + 1):
        await shop.partitions.ensure([(NOW // SECOND // 86_400 + day)])
    await shop.pool.execute(
        """INSERT INTO runs (series_id, ts, until, offsets, values)
           SELECT $1, $2::timestamptz + n * interval '20 s', $2::timestamptz + n * interval '20 s' + interval '19.9 s',
                  array(SELECT generate_series(0, 19900000, 100000)), array_fill(50 + n % 15, ARRAY[200])
           FROM generate_series(0, $3 / 200 - 1) n""",
        series_id,
        to_datetime(NOW + SECOND),
        count,
    )
    await shop.write((T, count / 10 + 60, 99))


LONG = (PLAIN, {"condition": {"type": "rate", "levels": [RISING], "window_s": 3_600}})


async def test_a_long_history_holds_up_nobody_and_keeps_nothing(shop: Workshop) -> None:
    await fill(shop, 300_000)
    longest, turns = 0.0, 0

    async def watch() -> None:
        nonlocal longest, turns
        clock = asyncio.get_running_loop().time
        while True:
            before = clock()
            await asyncio.sleep(0)
            longest, turns = max(longest, clock() - before), turns + 1

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for rule in LONG:
        watching = asyncio.create_task(watch())
        found = await Previewer(shop.pool).run(asked(**rule))
        watching.cancel()
        assert (found.readings, found.truncated) == (300_002, False)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16_384  # KiB
    assert longest < 0.25, f"the event loop stood still for {longest * 1e3:.0f} ms; it is 11 on an idle machine"
    assert turns > 2 * 300_000 / (2 * replay.CHUNK)


async def test_a_long_history_takes_no_memory(shop: Workshop) -> None:
    await fill(shop, 100_000)
    patient = Previewer(shop.pool, PreviewLimits(deadline_s=60))  # to trace memory is slow
    for rule in LONG:
        await patient.run(asked(until=1_000, **rule))  # statements are prepared
        tracemalloc.start()
        try:
            found = await patient.run(asked(**rule))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert found.readings == 100_002
        assert peak < 2 << 20, f"{peak} bytes for {rule}"


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "from after to": ({"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T09:59:59Z"}, "preview_span"),
    "nothing between": ({"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T11:00:00+01:00"}, "preview_span"),
    "too long": ({"from": "2026-11-01T00:00:00Z", "to": "2026-12-02T00:00:01Z"}, "preview_span"),
    "no offset": ({"from": "2026-11-20T10:00:00"}, "value_error"),
    "seconds": ({"to": 1_795_428_000}, "value_error"),
    "a text of digits": ({"to": "1795428000000"}, "value_error"),
    "limit 0": ({"limit": 0}, "greater_than_equal"),
    "limit 1001": ({"limit": 1_001}, "less_than_equal"),
    "unknown": ({"until": 1}, "extra_forbidden"),
    "no rule": ({"rule": None}, "model_attributes_type"),
    "absent": (
        {"rule": {"name": "gone", "metric": "*", "condition": {"type": "absent", "after_s": 60, "severity": "info"}}},
        "preview_absent",
    ),
}


async def test_over_http(running_server: Server) -> None:
    now = time.time_ns() // 1_000_000
    readings = [{"ts": now - 2_000 + n * 1_000, "metric": T, "value": value} for n, value in enumerate((99, 10))]
    body = {"device": "pump-7", "labels": {"site": "A"}, "readings": readings}
    assert (await running_server.write(body))[0] == 200
    rule = rule_request().model_dump(mode="json", exclude_none=True)
    wanted = {"rule": rule, "from": now - 60_000, "to": now + 60_000}
    key = await running_server.key("read")
    status, found = await running_server.call("POST", "/v1/rules/preview", wanted, key)
    assert status == 200
    assert set(found) == {"series", "readings", "transitions", "truncated", "truncated_by"}
    assert (found["series"], found["readings"], found["truncated"]) == (1, 2, False)
    first, second = found["transitions"]
    assert first == {
        "event": "firing", "at": first["at"], "device": "pump-7", "metric": T, "labels": {"site": "A"},
        "severity": "critical", "value": 99.0, "threshold": 80.0,
    }  # fmt: skip
    assert first["at"].endswith("Z")
    assert (second["event"], second["value"]) == ("resolved", 10.0)
    assert (await running_server.call("GET", "/v1/rules", None, key))[1]["items"] == [], "a preview stores nothing"
    for name, (changes, code) in BAD.items():
        good = {"rule": rule, "from": "2026-11-20T10:00:00Z", "to": 1_795_428_000_000}
        status, problem = await running_server.call("POST", "/v1/rules/preview", good | changes, key)
        assert (status, problem["errors"][0]["code"]) == (422, code), f"{name}: {problem}"
    assert problem["errors"][0]["message"] == "absent is judged by arrival, which is not stored"
    bound = await running_server.key("read", device_glob="pump-*")
    assert (await running_server.call("POST", "/v1/rules/preview", wanted, bound))[0] == 403
