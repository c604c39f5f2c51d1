"""The preview of a rule tells what the engine told, within its bounds."""

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from alerts import replay
from alerts.preview import AT_ONCE, Previewer, PreviewLimits
from schemas.errors import Overloaded
from schemas.preview import Lack, Preview
from tests.integration.previewing import RISING, asked, walk, words
from tests.integration.writing import PLAIN, Point, T, Workshop

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
