"""Messages as one body for `POST /v1/readings`, and what to do about the answer."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from pydantic_core import to_json

from ingest.formats import mqtt
from ingest.formats.mapping import Mapping
from ingest.formats.terms import Terms
from ingest.formats.times import FIRST_MS, LAST_MS, Bounds
from ingest.mqtt.window import Held
from schemas.columns import Columns
from schemas.errors import Fault, Invalid, Malformed, SluiceError
from schemas.times import to_datetime, to_text

MAX_READINGS = 5_000  # of one body, but for a single larger message
MAX_BYTES = 1 << 20  # the same, of its JSON


@dataclass(slots=True)
class Message:
    """A message as it will be sent on."""

    held: Held
    parts: list[bytes] = field(default_factory=list)
    """Batches in JSON, each of one device."""
    readings: int = 0
    skipped: int = 0
    faults: Sequence[Fault] = ()
    """Of what was left out."""
    defect: Exception | None = None
    """What the decoder broke by: a fault of ours, to be told."""


def read(held: Held, mapping: Mapping, max_readings: int) -> Message:
    """Decode a message. Nothing is raised: what cannot be read has a fault and no readings.

    How old and how new readings may be, the server knows: here every time is let through that can be one.
    """
    bounds = Bounds(FIRST_MS * 1_000, LAST_MS * 1_000, max_readings)
    try:
        columns = mqtt.decode(held.payload, Terms(bounds, held.arrived_us, mapping), held.topic)
        return Message(held, _parts(columns), len(columns), columns.skipped, columns.rejected)
    except Invalid as error:
        return Message(held, faults=error.faults)
    except SluiceError as error:
        return Message(held, faults=[Fault((), error.code, error.detail or error.title)])
    except Exception as defect:  # noqa: BLE001 - raised, it would end the bridge now and after each start, as it comes again
        return Message(held, faults=[Fault((), Malformed.code, "it cannot be read")], defect=defect)


def _parts(columns: Columns) -> list[bytes]:
    grouped: dict[tuple[str, str], list[dict[str, object]]] = {}
    rows = zip(columns.codes.tolist(), columns.ts.tolist(), columns.value.tolist(), strict=True)
    for code, micros, value in rows:
        device, metric, labels = columns.series[code]
        ts = to_text(to_datetime(micros)) if micros % 1_000 else micros // 1_000
        grouped.setdefault((device, labels), []).append({"ts": ts, "metric": metric, "value": value})
    return [
        to_json({"device": device, "labels": json.loads(labels), "readings": readings})
        for (device, labels), readings in grouped.items()
    ]


def body_of(messages: Iterable[Message]) -> bytes:
    """The body."""
    return b"[%b]" % b",".join(part for message in messages for part in message.parts)


def message_of(messages: Sequence[Message], part: int) -> Message | None:
    """Whose batch stands at this place of the body."""
    for message in messages:
        if part < len(message.parts):
            return message
        part -= len(message.parts)
    return None


def is_full(readings: int, size: int) -> bool:
    """Whether a body with so many readings and bytes goes as it is."""
    return readings >= MAX_READINGS or size >= MAX_BYTES


class Verdict(Enum):
    """What an answer means."""

    STORED = "stored"
    IN_PART = "in_part"
    """Nothing is stored: ask for the good ones to be."""
    SPLIT = "split"
    """Nothing is stored: something of this is not for this server, or there is too much of it."""
    AGAIN = "again"
    HALTED = "halted"
    """Somebody has to mend a setting first; then again."""


_VERDICTS = {200: Verdict.STORED, 400: Verdict.SPLIT, 403: Verdict.SPLIT, 413: Verdict.SPLIT, 422: Verdict.IN_PART}
_AGAIN = {408, 425, 429}


def judge(status: int, *, partial: bool) -> Verdict:
    """What this status means for a batch that was sent, or was sent with `partial`."""
    if status == 422 and partial:
        return Verdict.SPLIT
    if status >= 500 or status in _AGAIN:
        return Verdict.AGAIN
    return _VERDICTS.get(status, Verdict.HALTED)
