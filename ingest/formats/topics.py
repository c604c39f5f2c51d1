"""Topic templates of MQTT: which messages are asked for, and which names their topics give.

`sensors/{device}/{metric}` asks for `sensors/+/+`. Of several templates the first that matches a topic reads it. A name
that stands twice is joined: metrics by '.', devices by '/'; any other name in braces becomes a label.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self
from zoneinfo import ZoneInfo

from schemas.readings import MAX_LABELS

DEVICE, METRIC = "device", "metric"
UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}  # of a time that is a number, in nanoseconds
TIME_FIELDS = ("ts", "Time")  # the second is Tasmota's
MAX_TOPIC_BYTES = 65_535
_JOINED_BY = {DEVICE: "/", METRIC: "."}
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}")


class TemplateError(ValueError):
    """A template cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a topic says of the readings that come by it."""

    device: str = ""
    metric: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """One template, level by level."""

    text: str
    levels: tuple[str, ...]
    """As MQTT's filters have them: a literal, `+`, or as the last `#`."""
    names: tuple[tuple[int, str], ...]
    """Levels that name something, and what."""

    @classmethod
    def of(cls, text: str) -> Self:
        """Read a template. Raises TemplateError."""
        if not text or text.startswith("$") or "\0" in text or len(text.encode()) > MAX_TOPIC_BYTES:
            raise TemplateError(f"'{text[:80]}' is no topic that can be asked for")
        levels: list[str] = []
        names: list[tuple[int, str]] = []
        for number, level in enumerate(text.split("/")):
            if found := _PLACE.fullmatch(level):
                names.append((number, found[1]))
                levels.append("+")
            elif level == "+" or (level == "#" and number == text.count("/")) or not set(level) & set("+#{}"):
                levels.append(level)
            else:
                raise TemplateError(
                    f"'{text}': a level is text, '{{name}}' or '+', the last one perhaps '#'; as a whole"
                )
        labels = [name for _, name in names if name not in _JOINED_BY]
        if len(set(labels)) < len(labels) or len(labels) > MAX_LABELS:
            raise TemplateError(f"'{text}': of a label's name there may be one, and {MAX_LABELS} labels at most")
        return cls(text, tuple(levels), tuple(names))

    def read(self, topic: Sequence[str]) -> Named | None:
        """What these levels of a topic say; None: they are none of this template's."""
        if self.levels[-1] == "#":
            if len(topic) < len(self.levels) - 1:
                return None
        elif len(topic) != len(self.levels):
            return None
        for wanted, level in zip(self.levels, topic, strict=False):
            if wanted == "#":
                break
            if wanted not in {"+", level}:
                return None
        joined = {
            kind: mark.join(topic[at] for at, name in self.names if name == kind) for kind, mark in _JOINED_BY.items()
        }
        labels = tuple((name, topic[at]) for at, name in self.names if name not in _JOINED_BY)
        return Named(joined[DEVICE], joined[METRIC], labels)


@dataclass(frozen=True, slots=True)
class Topics:
    """How MQTT's messages are read: what an operator can choose of it (`SLUICE_MQTT_*`)."""

    templates: tuple[Template, ...] = field(default_factory=lambda: (Template.of("sensors/{device}/{metric}"),))
    time_fields: tuple[str, ...] = TIME_FIELDS
    """Keys of a JSON object of which the first that is there holds the time of its readings."""
    unit: str = "ms"
    """Of times that are numbers: one of `UNITS`."""
    zone: ZoneInfo | None = None
    """Of times that are text without an offset; None: they are refused."""

    def read(self, topic: str) -> Named | None:
        """What this topic says; None where no template is for it."""
        levels = topic.split("/")
        return next((named for each in self.templates if (named := each.read(levels)) is not None), None)

    def filters(self) -> list[str]:
        """What to ask a broker for, so that no message comes twice. Raises TemplateError where it would.

        What another filter covers is left out: for each subscription that matches, a broker may send a copy.
        """
        distinct = list(dict.fromkeys(each.levels for each in self.templates))
        kept = [one for one in distinct if not any(other != one and covers(other, one) for other in distinct)]
        for number, one in enumerate(kept):
            for other in kept[:number]:
                if meet(one, other):
                    pair = f"'{'/'.join(other)}' and '{'/'.join(one)}'"
                    raise TemplateError(f"a topic may match both {pair} and would come twice: have one cover the other")
        return ["/".join(levels) for levels in kept]

    def describe(self) -> str:
        """One line that says how messages are read."""
        texts = ", then ".join(each.text for each in self.templates)
        naive = f"in {self.zone.key}" if self.zone else "refused (SLUICE_MQTT_TIME_ZONE)"
        times = f"times from {' or '.join(self.time_fields) or '(no key)'}, numbers in {self.unit}"
        return f"MQTT topics: {texts}; {times}, text without an offset {naive}, else the time of receipt"


def read_templates(texts: Iterable[str]) -> tuple[Template, ...]:
    """Templates; at least one. Raises TemplateError."""
    templates = tuple(Template.of(text) for text in texts)
    if not templates:
        raise TemplateError("there is no template: for example sensors/{device}/{metric}")
    return templates


def covers(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    """Whether every topic that the narrow filter matches is matched by the wide one, too."""
    if wide[:1] == ("#",):
        return True
    if not wide or not narrow:
        return not wide and not narrow
    if narrow[0] == "#" or wide[0] not in {"+", narrow[0]}:
        return False
    return covers(wide[1:], narrow[1:])


def meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether some topic matches both filters."""
    if ("#",) in {one[:1], other[:1]}:
        return True
    if not one or not other:
        return not one and not other
    return (one[0] == other[0] or "+" in {one[0], other[0]}) and meet(one[1:], other[1:])
