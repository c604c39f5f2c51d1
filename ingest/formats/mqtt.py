"""The decoder of MQTT's messages: topic and payload to columns. Nobody can be told of a fault, so all are named.

A payload is a number, a word for a truth value, a JSON object or a list of such, or readings as our own door takes
them.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ingest.formats.mapping import UnmappableError
from ingest.formats.mqtt_native import is_native, place, read_native
from ingest.formats.mqtt_time import read_time
from ingest.formats.terms import Terms
from ingest.formats.topics import Named
from ingest.formats.tree import parsed_within
from schemas.columns import Columns, SeriesKey
from schemas.errors import Fault, Invalid, Loc, TooLarge
from schemas.names import MAX_NAME_CHARS

_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORDS = {b"true": 1.0, b"false": 0.0, b"on": 1.0, b"off": 0.0}
_LONGEST_WORD = 5
_PARTS_TO_READINGS = 10  # of the JSON
_CUT = MAX_NAME_CHARS + 1  # of what leads to a value: a longer name is refused, and not written out for each value
_VALUE = "value"  # what is measured, where neither the topic nor the payload says it

Path = tuple[str | int, ...]


def decode(payload: bytes, terms: Terms, topic: str) -> Columns:
    """Read a message. What has a fault is left out, and named in `rejected`; text and null are skipped.

    Raises Invalid where no template is for the topic, or a batch of our own is none; Malformed and TooLarge.
    """
    named = terms.mapping.topics.read(topic)
    if named is None:
        raise Invalid([Fault(("topic",), "no_template", "no template is for this topic (SLUICE_MQTT_TOPICS)")])
    text = payload.strip(b" \t\r\n")
    message = _Message(named, terms)
    if text[:1] not in {b"{", b"["}:
        message.plain(text)
        return message.columns()
    most = terms.bounds.max_readings
    document = parsed_within(text, _PARTS_TO_READINGS * most)
    many = isinstance(document, list) and all(isinstance(item, dict) for item in document)
    if many and len(document) > most:
        raise TooLarge("readings", most)
    if is_native(document):
        return read_native(document, named, terms)
    if many:
        for number, item in enumerate(document):
            message.record(item, (number,))
    else:
        message.record(document, ())
    return message.columns()


class _Message:
    """A message as it is read: its readings, and what else there is."""

    def __init__(self, named: Named, terms: Terms) -> None:
        self._named, self._terms = named, terms
        self._series: dict[SeriesKey, int] = {}
        self._codes: list[int] = []
        self._ts: list[int] = []
        self._value: list[float] = []
        self._rejected: list[Fault] = []
        self._skipped = 0

    def plain(self, text: bytes) -> None:
        """A payload that is one value. Text that is none, such as 'online' or 'nan', is skipped."""
        value = _WORDS.get(text.lower()) if len(text) <= _LONGEST_WORD else None
        if value is None and _NUMBER.fullmatch(text):
            value = float(text)
        self._leaves(value, "", (), self._terms.arrived_us)

    def record(self, document: Any, loc: Loc) -> None:
        """A JSON object (or a list), whose readings share their time. Raises TooLarge."""
        fields, micros, device = document, self._terms.arrived_us, ""
        if isinstance(document, dict):
            topics = self._terms.mapping.topics
            fields = {name: value for name, value in document.items() if name not in topics.time_fields}
            said = next((name for name in topics.time_fields if document.get(name) is not None), None)
            if said is not None:
                time = read_time(document[said], topics, self._terms.bounds, (*loc, said))
                if isinstance(time, Fault):
                    self._reject(time)
                    return
                micros = time
            if not self._named.device:  # then a text in the payload may name it
                device = self._naming(fields)
            if list(fields) == ["values"]:
                fields = fields["values"]
        self._leaves(fields, device, loc, micros)

    def _naming(self, fields: dict[str, Any]) -> str:
        """The text that names the device, taken out of the fields."""
        for tag in self._terms.mapping.device_tags:
            if isinstance(text := fields.get(tag), str) and text:
                del fields[tag]
                return text
        return ""

    def _leaves(self, fields: Any, said: str, loc: Loc, micros: int) -> None:
        try:
            device, labels = place(self._named, said, self._terms)
        except UnmappableError as error:
            self._reject(Fault((*loc, "device"), error.code, str(error)))
            return
        for path, value in _leaves(fields, ()):
            if not isinstance(value, int | float):
                self._skipped += 1
            else:
                self._reading(device, labels, path, value, loc, micros)
            self._check_count()

    def _reject(self, fault: Fault) -> None:
        """Name what is wrong with a whole object."""
        self._rejected.append(fault)
        self._check_count()

    def _check_count(self) -> None:
        """What is no reading is work too. Raises TooLarge."""
        if len(self._codes) + len(self._rejected) + self._skipped > self._terms.bounds.max_readings:
            raise TooLarge("readings", self._terms.bounds.max_readings)

    def _reading(self, device: str, labels: str, path: Path, value: float, loc: Loc, micros: int) -> None:
        try:
            number = float(value)
        except OverflowError:  # of an integer
            number = math.inf
        if not math.isfinite(number):
            self._rejected.append(Fault((*loc, *path), "value_invalid", "a value is a finite number"))
            return
        steps = [str(step)[:_CUT] for step in path[:_CUT]]
        keys = self._terms.mapping.separator.join(steps)[:_CUT]
        try:
            mapping, metric = self._terms.mapping, self._named.metric
            series = SeriesKey(
                device, mapping.metric(metric, keys) if metric else mapping.metric(keys or _VALUE), labels
            )
        except UnmappableError as error:
            self._rejected.append(Fault((*loc, *path), error.code, str(error)))
            return
        self._codes.append(self._series.setdefault(series, len(self._series)))
        self._ts.append(micros)
        self._value.append(number)

    def columns(self) -> Columns:
        """All of it."""
        codes, ts = np.array(self._codes, np.int32), np.array(self._ts, np.int64)
        value = np.array(self._value, np.float64)
        return Columns(list(self._series), codes, ts, value, self._rejected, self._skipped)


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Whatever holds nothing else, be it an empty object or list, with the keys and places that lead there."""
    if not value or not isinstance(value, dict | list):
        yield path, value
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        yield from _leaves(item, (*path, name))
