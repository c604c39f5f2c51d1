"""What has to be done so that a server's rules are those of a file. Pure.

A rule is known by its name. One that is as it should be is left alone: putting it would resolve what it has fired.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.rules import Rule, RuleRequest

MISSING = object()


@dataclass(frozen=True, slots=True)
class Change:
    """A rule that is there and shall be another."""

    stored: Rule
    wanted: RuleRequest

    @property
    def differences(self) -> list[str]:
        """Field by field: before and after."""
        return list(_differences("", _document(self.stored), _comparable(self.wanted, self.stored)))


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps, in the order in which they are done."""

    create: list[RuleRequest]
    change: list[Change]
    delete: list[Rule]
    unchanged: int
    kept: list[Rule]
    """Not in the file, and not to be deleted."""

    def __len__(self) -> int:
        return len(self.create) + len(self.change) + len(self.delete)

    def lines(self) -> Iterator[str]:
        """The plan for a person to read."""
        for rule in self.create:
            yield f"+ {rule.name}: create"
            yield from (f"    {name}: {_text(value)}" for name, value in _document(rule).items() if name != "name")
        for change in self.change:
            yield f"~ {change.stored.name} (id {change.stored.id}): change; its firing alerts are resolved"
            yield from (f"    {difference}" for difference in change.differences)
        for stored in self.delete:
            yield f"- {stored.name} (id {stored.id}): delete; its firing alerts are resolved"
        if self.unchanged:
            yield f"= {self.unchanged} unchanged"
        if self.kept:
            names = ", ".join(rule.name for rule in self.kept)
            yield f"  {len(self.kept)} not in the file, kept (--prune deletes): {names}"


def make_plan(wanted: Sequence[RuleRequest], stored: Sequence[Rule], *, prune: bool) -> Plan:
    """Compare. Raises ValueError where the server has several rules of a name that the file has."""
    names = {rule.name for rule in wanted}
    check_unique(rule for rule in stored if rule.name in names)
    there = {rule.name: rule for rule in stored}
    others = [rule for rule in stored if rule.name not in names]
    changes = [
        Change(there[rule.name], rule)
        for rule in wanted
        if rule.name in there and _document(there[rule.name]) != _comparable(rule, there[rule.name])
    ]
    create = [rule for rule in wanted if rule.name not in there]
    unchanged = len(wanted) - len(create) - len(changes)
    return Plan(create, changes, others if prune else [], unchanged, [] if prune else others)


def check_unique(rules: Iterable[Rule]) -> None:
    """Raises ValueError, with their ids, where several rules have one name."""
    rules = list(rules)
    for name, count in Counter(rule.name for rule in rules).items():
        if count > 1:
            ids = ", ".join(str(rule.id) for rule in rules if rule.name == name)
            raise ValueError(f"the server has {count} rules called '{name}' (ids {ids}): delete or rename all but one")


def _document(rule: RuleRequest) -> dict[str, Any]:
    """A rule as JSON, without what only a stored one has; what is not set is left out."""
    return rule.model_dump(mode="json", include=set(RuleRequest.model_fields), exclude_none=True)


def _comparable(wanted: RuleRequest, stored: Rule) -> dict[str, Any]:
    """A wanted rule as the server would show it to the same key: only `admin` sees what is behind a webhook's host."""
    return _document(wanted.masked() if stored.is_masked else wanted)


def _differences(path: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict) and path.count(".") < 8:
        for key in dict.fromkeys([*before, *after]):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(inner, before.get(key, MISSING), after.get(key, MISSING))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{path}[{place}]", one, other)
    else:
        yield f"{path}: {_text(before)} → {_text(after)}"


def _text(value: Any) -> str:
    return "(none)" if value is MISSING else json.dumps(value, ensure_ascii=False)
