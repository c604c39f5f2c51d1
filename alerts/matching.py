"""Which rules watch which series."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from alerts.machine import Condition
from schemas.columns import SeriesKey
from schemas.names import is_glob, matches
from schemas.rules import SEVERITY_RANK, Rule


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

    @property
    def upper(self) -> float:
        """A value above this makes some level hold; infinite where none is 'above'."""
        limits = [level.above for level in self.condition.levels if level.above is not None]
        return min(limits, default=float("inf"))

    @property
    def lower(self) -> float:
        """A value below this makes some level hold."""
        limits = [level.below for level in self.condition.levels if level.below is not None]
        return max(limits, default=float("-inf"))

    def is_crossed_by(self, value: float) -> bool:
        """Whether the value makes some level hold."""
        return value > self.upper or value < self.lower

    def watches(self, key: SeriesKey) -> bool:
        """Whether the rule is about this series."""
        if not (matches(self.device, key.device) and matches(self.metric, key.metric)):
            return False
        return not self.labels or self.labels <= json.loads(key.labels).items()


def ready(rule: Rule) -> WatchingRule:
    """Make a stored rule ready."""
    levels = tuple(sorted(rule.condition.levels, key=lambda level: SEVERITY_RANK[level.severity]))
    condition = Condition(levels, round(rule.for_s * 1e6), round(rule.keep_firing_for_s * 1e6))
    labels = frozenset(rule.labels.items())
    return WatchingRule(rule.id, rule.revision, rule.name, rule.device, rule.metric, labels, condition)


class RuleSet:
    """The enabled rules, found by metric first: few rules name a metric by a glob, and few share one."""

    def __init__(self, rules: Iterable[WatchingRule] = ()) -> None:
        self._by_metric: dict[str, list[WatchingRule]] = {}
        self._globs: list[WatchingRule] = []
        self.ids: set[int] = set()
        """Of all the rules."""
        for rule in rules:
            self.ids.add(rule.id)
            bucket = self._globs if is_glob(rule.metric) else self._by_metric.setdefault(rule.metric, [])
            bucket.append(rule)

    def __bool__(self) -> bool:
        return bool(self._by_metric or self._globs)

    def watching(self, key: SeriesKey) -> tuple[WatchingRule, ...]:
        """The rules about a series, in the order of their ids."""
        candidates = [*self._by_metric.get(key.metric, ()), *self._globs]
        return tuple(sorted((rule for rule in candidates if rule.watches(key)), key=lambda rule: rule.id))
