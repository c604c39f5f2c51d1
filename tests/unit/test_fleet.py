"""The simulated fleet: the same story every time, plausible, and with something to report every minute or so."""

import numpy as np
import pytest

from load.batch import Batch
from load.fleet import FAULT_EDGE_S, SECOND, Fleet, Member, ticks
from load.kinds import KINDS, Kind
from schemas.columns import Int64s
from schemas.conditions import Threshold
from schemas.names import matches, name_fault
from schemas.rules import RuleRequest

BEGIN = 1_795_428_000 * SECOND


def seconds(count: int, begin: int = BEGIN, step: int = SECOND) -> Int64s:
    return begin + np.arange(count, dtype=np.int64) * step


def fired(rule: RuleRequest, batch: Batch) -> list[bool]:
    """For each time, whether an alert is firing: the contract's machine reduced to on and off."""
    assert isinstance(rule.condition, Threshold)
    firing, held_since, states = False, None, []
    for ts, cell in zip(batch.ts, batch.values[rule.metric], strict=True):
        value = float(cell or 0)
        holds = any(level.holds(value) for level in rule.condition.levels)
        held_since = (held_since if held_since is not None else ts) if holds else None
        firing = (
            any(level.stays(value) for level in rule.condition.levels)
            if firing
            else held_since is not None and ts - held_since >= rule.for_s * SECOND
        )
        states.append(firing)
    return states


def test_a_story_is_told_the_same_way_again() -> None:
    first, again = Fleet(20, seed=7), Fleet(20, seed=7)
    ts = seconds(300)
    assert [member.batch(ts) for member in first.members] == [member.batch(ts) for member in again.members]


def test_a_reading_does_not_depend_on_the_batch_it_is_in() -> None:
    for member in Fleet(8).members:
        whole = member.batch(seconds(600))
        part = member.batch(seconds(600)[311:313])
        assert {metric: cells[311:313] for metric, cells in whole.values.items()} == part.values


def test_another_seed_tells_another_story() -> None:
    ts = seconds(10)
    assert Fleet(1, seed=1).members[0].batch(ts) != Fleet(1, seed=2).members[0].batch(ts)


def test_devices_of_a_kind_differ() -> None:
    pumps = [member for member in Fleet(8).members if member.kind.name == "pump"]
    assert pumps[0].batch(seconds(10)).values != pumps[1].batch(seconds(10)).values


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_values_are_what_such_a_sensor_could_say(kind: Kind) -> None:
    member = next(member for member in Fleet(20).members if member.kind is kind)
    batch = member.batch(seconds(86_400, step=10 * SECOND))
    assert len(batch) == 86_400 * len(batch.values)
    for signal in kind.signals:
        values = np.array(batch.values[signal.metric])
        assert signal.low <= values.min() < values.max() <= signal.high
        assert np.array_equal(values, values.round(signal.digits))
        # A fault is an exception: most of the time the signal is where it belongs.
        usual = signal.spread + abs(signal.day) + signal.drift + 3.5 * signal.noise + abs(signal.idle)
        assert np.mean(np.abs(values - signal.base) <= usual + 10**-signal.digits) > 0.9
    if kind.switch:
        assert set(batch.values[kind.switch.metric]) == {True, False}


def test_days_have_a_curve() -> None:
    room = next(member for member in Fleet(4).members if member.kind.name == "room")
    midnight = BEGIN // (86_400 * SECOND) * 86_400 * SECOND

    def typical(hour: int) -> float:
        # The median, because a fault may fall into any quarter of an hour.
        batch = room.batch(seconds(900, midnight + hour * 3_600 * SECOND))
        return float(np.median(np.array(batch.values["co2"])))

    assert typical(15) > typical(3) + 100


@pytest.mark.parametrize("size", [1, 4, 20, 200])
def test_something_fires_and_resolves_every_minute_or_so(size: int) -> None:
    minutes = 30
    fleet = Fleet(size)
    alerts = 0
    for member in fleet.members:
        states = fired(member.kind.rule, member.batch(seconds(minutes * 60)))
        alerts += sum(now and not before for before, now in zip([False, *states], states, strict=False))
        assert states.count(True) < len(states) * (0.9 if size == 1 else 0.5)
    assert minutes * 0.7 <= alerts <= minutes * 1.4


def test_without_a_fault_no_rule_fires() -> None:
    fleet = Fleet(40)
    ts = seconds(8_640, step=10 * SECOND)
    for member in fleet.members:
        sound = ts[fleet.fault(member.number, ts) == 0]
        assert not any(fired(member.kind.rule, member.batch(sound)))


def test_every_fault_fires_its_rule_and_ends() -> None:
    fleet = Fleet(4)
    for member in fleet.members:
        ts = seconds(3_600)
        height = fleet.fault(member.number, ts)
        states = np.array(fired(member.kind.rule, member.batch(ts)))
        assert states[height >= 1][5:].mean() > 0.9
        assert height.max() == 1
        assert np.abs(np.diff(height)).max() <= 1 / FAULT_EDGE_S + 1e-9


def test_rules_and_names_are_valid_and_belong_together() -> None:
    fleet = Fleet(20)
    assert len({member.name for member in fleet.members}) == 20
    assert len(fleet.rules) == len(KINDS)
    for member in fleet.members:
        assert name_fault(member.name) is None
        assert matches(member.kind.rule.device, member.name)
        assert member.kind.rule.metric in member.batch(seconds(1)).values
    for rule in fleet.rules:
        assert RuleRequest.model_validate(rule.model_dump(mode="json", exclude_none=True)) == rule


def test_every_device_has_one_sender() -> None:
    senders = list(Fleet(21).senders())
    assert sorted(member.number for members in senders for member in members) == list(range(21))
    assert {len(members) for members in senders if members[0].kind.gateway} >= {4}
    assert {len(members) for members in senders if not members[0].kind.gateway} == {1}


def test_clocks_tick_on_the_same_grid_in_every_run() -> None:
    member: Member = Fleet(1).members[0]
    phase = member.phase(SECOND)
    assert phase % 1_000 == 0
    assert 0 <= phase < SECOND
    whole = ticks(BEGIN, BEGIN + 10 * SECOND, SECOND, phase)
    split = BEGIN + 3_141_592
    parts = [ticks(BEGIN, split, SECOND, phase), ticks(split, BEGIN + 10 * SECOND, SECOND, phase)]
    assert whole.tolist() == np.concatenate(parts).tolist()
    assert len(whole) == 10
    assert ticks(whole[0], whole[1], SECOND, phase).tolist() == [whole[1]]
    assert not len(ticks(split, split, SECOND, phase))


def test_no_times_no_readings() -> None:
    assert len(Fleet(1).members[0].batch(seconds(0))) == 0
