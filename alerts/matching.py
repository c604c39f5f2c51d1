"""Which rules watch which series."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from alerts.machine import Condition
from schemas.columns import SeriesKey
from schemas.conditions import SEVERITY_RANK, Absent, Rate
from schemas.names import is_glob, matches
from schemas.rules import Rule


@dataclass(frozen=True, slots=True)
class WatchingRule:
    """A rule made ready for screening and stepping."""

    id: int
    revision: int
    name: str
    device: str
    metric: str
    labels: frozenset[tuple[str, str]]
    condition: Condition
    window_us: int | None = None
    """Of a rate, which is judged instead of the value; None for a rule about values."""
    webhooks: tuple[str, ...] = ()

    @property
    def upper(self) -> float:
        """A value above this has to be looked at; minus infinity where every one has."""
        if self.window_us is not None:
            return float("-inf")
        limits = [level.above for level in self.condition.levels if level.above is not None]
        return min(limits, default=float("inf"))

    @property
    def lower(self) -> float:
        """A value below this makes some level hold."""
        limits = [level.below for level in self.condition.levels if level.below is not None]
        return max(limits, default=float("-inf"))

    def is_crossed_by(self, value: float) -> bool:
        """Whether a reading with this value has to be looked at, although nothing is pending or firing."""
        return value > self.upper or value < self.lower

    def watches(self, key: SeriesKey) -> bool:
        """Whether the rule is about this series."""
        if not (matches(self.device, key.device) and matches(self.metric, key.metric)):
            return False
        return not self.labels or self.labels <= json.loads(key.labels).items()


def ready(rule: Rule) -> WatchingRule:
    """Make a stored rule ready, but for one about absence, which no reading moves."""
    wanted = rule.condition
    levels = () if isinstance(wanted, Absent) else wanted.levels
    return WatchingRule(
        rule.id,
        rule.revision,
        rule.name,
        rule.device,
        rule.metric,
        frozenset(rule.labels.items()),
        Condition(
            tuple(sorted(levels, key=lambda level: SEVERITY_RANK[level.severity])),
            round(rule.for_s * 1e6),
            round(rule.keep_firing_for_s * 1e6),
        ),
        round(wanted.window_s * 1e6) if isinstance(wanted, Rate) else None,
        tuple(map(str, rule.webhooks)),
    )


class RuleSet:
    """The enabled rules, found by the names that they give exactly: few are about globs alone."""

    def __init__(self, rules: Iterable[WatchingRule] = ()) -> None:
        self._by_names: dict[tuple[str | None, str | None], list[WatchingRule]] = {}
        for rule in rules:
            device = None if is_glob(rule.device) else rule.device
            metric = None if is_glob(rule.metric) else rule.metric
            self._by_names.setdefault((device, metric), []).append(rule)

    def __bool__(self) -> bool:
        return bool(self._by_names)

    def watching(self, key: SeriesKey) -> tuple[WatchingRule, ...]:
        """The rules about a series, in the order of their ids."""
        names = ((key.device, key.metric), (key.device, None), (None, key.metric), (None, None))
        candidates = [rule for pair in names for rule in self._by_names.get(pair, ())]
        return tuple(sorted((rule for rule in candidates if rule.watches(key)), key=lambda rule: rule.id))
