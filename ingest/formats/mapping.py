"""The mapping (contract §6): how names of a foreign protocol become a series of ours. All protocols share it."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from ingest.formats.topics import Topics
from schemas.columns import SeriesKey, canonical_labels
from schemas.names import MAX_NAME_CHARS, matches, name_fault
from schemas.readings import MAX_LABEL_CHARS, MAX_LABELS

DEVICE_TAGS = ("device", "device_id", "host", "instance", "service.instance.id")
PROMETHEUS_DEVICE_TAGS = ("instance", "device", "device_id", "host", "service.instance.id")
"""Of Prometheus: what was scraped is the `instance`; its `device` is a part of that, a disk or a network card."""
OTLP_DEVICE_TAGS = (*DEVICE_TAGS, "host.name")
OTLP_DROPPED = ("telemetry.*", "process.*", "otel.scope.*", "service.instance.id")
"""Attributes of a whole sender that say nothing of a place, or change whenever it starts."""
_MADE_UP = {"service.instance.id"}
"""An SDK makes one up at each start, where nobody gave it one: the device that a key is bound to goes before it."""

SENML_NAME = (
    r"(?:(?P<device>urn:dev:[^:]+:[^:/_]+(?=[:/_]|$)|urn:(?!dev:)[^:]+:[^:/]+(?:.*(?=[:/])|(?=[:/]|$))|(?!urn:|/).+(?=[:/]))"
    r"(?:[:/_]|$))?(?P<metric>.*)"
)
"""A device by its URN (of `urn:dev:` up to the identifier), or what is before the last colon or slash."""

Tags = Iterable[tuple[str, str]]
"""Names and values: tags of InfluxDB, labels of Prometheus, attributes of OpenTelemetry."""


@dataclass(frozen=True, slots=True)
class Common:
    """Tags of all that a sender sends, looked through once: `Mapping.common` makes it."""

    tags: dict[str, str] = field(default_factory=dict)
    """All of them: one may name the device."""
    labels: dict[str, str] = field(default_factory=dict)
    """Those that become labels."""

    def __or__(self, other: "Common") -> "Common":
        """Both, of which the other goes before."""
        return Common(self.tags | other.tags, self.labels | other.labels)


class UnmappableError(Exception):
    """These names make no series: `code` and the message say why. The message never repeats the names."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Mapping:
    """What an operator can choose of it (`SLUICE_MAPPING_*`), for one protocol."""

    device_tags: tuple[str, ...] = DEVICE_TAGS
    """The first of them that is present names the device, and is no label."""
    default_device: str = ""
    """Of readings that name none, sent with a key that is not bound to exactly one; empty: they are refused."""
    value_field: str = "value"
    """The field that says nothing: its metric is called like its measurement."""
    separator: str = "."
    """Between measurement and field."""
    senml_name: str = SENML_NAME
    """A pattern that the whole of a SenML name fits, with the groups `device` and `metric`; each may be empty."""
    topics: Topics = field(default_factory=Topics, compare=False)
    """MQTT's. Nothing that is remembered of other protocols depends on them."""
    dropped: tuple[str, ...] = ()
    """Globs: tags that a sender puts on everything, and that become no label. (One of them may name the device.)"""

    def metric(self, measurement: str, field: str = "") -> str:
        """What a field of a measurement, or a metric that has but one name, is called. Raises UnmappableError."""
        joined = measurement if field in {"", self.value_field} else f"{measurement}{self.separator}{field}"
        return _named(joined, "the metric, which is made of the measurement and the field,")

    def common(self, tags: dict[str, str]) -> Common:
        """Tags of all that a sender sends, without those that become no label."""
        return Common(tags, {name: value for name, value in tags.items() if not self._drops(name)})

    def place(self, tags: Tags, own_device: str | None = None, common: Common | None = None) -> tuple[str, str]:
        """The device, and the labels as `canonical_labels` has them, of readings with these tags.

        `own_device`: the one device that the sender's key is bound to; `common`: what all that it sends has, before
        which the tags of a reading go. Raises UnmappableError.
        """
        labels = found = _distinct(tags)
        if common:  # of many tags, only those that are looked for
            found = {name: common.tags[name] for name in self.device_tags if name in common.tags} | labels
        names = (name for name in self.device_tags if not (own_device and name in _MADE_UP))
        named = next((name for name in names if found.get(name)), "")
        device = found[named] if named else own_device or self.default_device
        if not device:
            raise UnmappableError("device_missing", self._without_device())
        if common:
            _check_count(len(common.labels) - 1)  # one of them may be the device's
            labels = common.labels | labels
        labels.pop(named, None)
        return _named(device, "the device's name"), _labelled(labels)

    def labelled(self, device: str, tags: Tags) -> tuple[str, str]:
        """The same of readings whose device is known otherwise: each of the tags is a label. Raises UnmappableError."""
        return _named(device, "the device's name"), _labelled(_distinct(tags))

    def _drops(self, name: str) -> bool:
        return any(matches(glob, name) for glob in self.dropped)

    def series(self, measurement: str, field: str, tags: Tags, own_device: str | None = None) -> SeriesKey:
        """The series of a field of a measurement with these tags. Raises UnmappableError."""
        device, labels = self.place(tags, own_device)
        return SeriesKey(device, self.metric(measurement, field), labels)

    def named(self, device: str, metric: str, labels: dict[str, str], own_device: str | None = None) -> SeriesKey:
        """The series of a protocol that has no tags; empty: no device is named. Raises UnmappableError."""
        device = device or own_device or self.default_device
        if not device:
            raise UnmappableError("device_missing", "no device is named: bind the key to one, or set a default device")
        return SeriesKey(_named(device, "the device's name"), _named(metric, "the metric"), _labelled(labels))

    def split(self, name: str) -> tuple[str, str]:
        """The device (empty: none) and the metric that a SenML name is made of. Raises UnmappableError."""
        if len(name) > 2 * MAX_NAME_CHARS + 1:
            raise UnmappableError("name_invalid", f"a name has more than {2 * MAX_NAME_CHARS + 1} characters")
        found = _pattern(self.senml_name).fullmatch(name)
        if found is None:
            raise UnmappableError("name_invalid", "the name does not fit SLUICE_MAPPING_SENML_NAME")
        return found["device"] or "", found["metric"] or self.value_field or "value"

    def _without_device(self) -> str:
        tags = ", ".join(self.device_tags)
        return f"none of the tags {tags} names the device: add one, bind the key to a device, or set a default device"

    def describe(self, protocols: str = "foreign protocols") -> str:
        """One line that says how names of these protocols are read."""
        joined = f"measurement{self.separator}field"
        device = f"the first tag of {', '.join(self.device_tags) or '(none)'}, else the key's own device"
        default = self._default()
        value = f" ('measurement' where the field is '{self.value_field}')" if self.value_field else ""
        dropped = f" but {', '.join(self.dropped)} of a whole sender" if self.dropped else ""
        return f"{protocols}: metric = {joined}{value}; device = {device}{default}; other tags{dropped} = labels"

    def describe_paths(self, protocols: str) -> str:
        """The same of protocols whose values have paths, and whose key is the device."""
        path = f"the value's name, with its path: 'a{self.separator}b'"
        return f"{protocols}: metric = {path}; device = the key's own device{self._default()}"

    def describe_senml(self, protocols: str) -> str:
        """The same of SenML."""
        device = f"without a device the key's own{self._default()}"
        return f"{protocols}: a name = {self.senml_name}; {device}; the unit = a label"

    def _default(self) -> str:
        return f", else '{self.default_device}'" if self.default_device else ""


@lru_cache(maxsize=16)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _distinct(tags: Tags) -> dict[str, str]:
    labels: dict[str, str] = {}
    for name, value in tags:
        if name in labels:
            raise UnmappableError("tag_repeated", "a tag stands twice")
        labels[name] = value
    return labels


def _check_count(labels: int) -> None:
    """Raises UnmappableError."""
    if labels > MAX_LABELS:
        raise UnmappableError("too_many_labels", f"at most {MAX_LABELS} tags besides the device's")


def _labelled(labels: dict[str, str]) -> str:
    if not labels:
        return "{}"
    _check_count(len(labels))
    clean: dict[str, str] = {}
    for name, value in labels.items():
        if len(value) > MAX_LABEL_CHARS:
            raise UnmappableError("label_invalid", f"a tag's value has at most {MAX_LABEL_CHARS} characters")
        key = _named(name, "a tag's name")
        if key in clean:
            raise UnmappableError("tag_repeated", "two tags have the same name, once forbidden characters became '_'")
        clean[key] = value.replace("\0", "_")
    return canonical_labels(clean)


@lru_cache(maxsize=65_536)
def cleaned(name: str) -> str:
    """The name with `_` for what a name must not contain; as long as it was."""
    if name_fault(name) is None:
        return name
    chars = ["_" if char in "*?" or unicodedata.category(char)[0] == "C" else char for char in name]
    inner = len(name.rstrip())
    outer = len(name) - len(name.lstrip())
    return "".join(char if outer <= place < inner else "_" for place, char in enumerate(chars))


def _named(name: str, what: str) -> str:
    """A valid name made of this one. Raises UnmappableError where it is empty or too long: nothing is cut."""
    if not name:
        raise UnmappableError("name_invalid", f"{what} must not be empty")
    if len(name) > MAX_NAME_CHARS:
        raise UnmappableError("name_invalid", f"{what} has more than {MAX_NAME_CHARS} characters")
    return cleaned(name)
