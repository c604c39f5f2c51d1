"""Our own readings in an MQTT payload: batches as `POST /v1/readings` takes them, or single readings."""

import json
from typing import Any

from pydantic_core import to_json

from ingest.formats import native
from ingest.formats.mapping import UnmappableError
from ingest.formats.terms import Terms
from ingest.formats.topics import Named
from schemas.columns import Columns
from schemas.errors import Fault, Invalid
from schemas.times import to_datetime, to_text

_READING = {"ts", "metric", "value"}


def is_native(document: Any) -> bool:
    """Whether this is a batch of either layout, a reading, or a list of such."""
    if isinstance(document, list):
        return bool(document) and all(isinstance(item, dict) and is_native(item) for item in document)
    if not isinstance(document, dict):
        return False
    if not isinstance(document.get("device", ""), str):
        return False
    single = isinstance(document.get("metric"), str) and "value" in document
    columns = isinstance(document.get("ts"), list) and isinstance(document.get("values"), dict)
    return single or columns or isinstance(document.get("readings"), list)


def read_native(document: Any, named: Named, terms: Terms) -> Columns:
    """Read it strictly. A payload may repeat the device of the topic, not name another. Raises Invalid, TooLarge."""
    many = isinstance(document, list)
    batches = [_batch(item, number, named, terms) for number, item in enumerate(document if many else [document])]
    return native.decode(to_json(batches if many else batches[0], inf_nan_mode="constants"), terms.bounds, partial=True)


def place(named: Named, said: str, terms: Terms) -> tuple[str, str]:
    """The device and the labels. A level of the topic named like a tag that may name the device does so only where
    neither the topic nor, as `said`, the payload names it. Raises UnmappableError."""
    if device := named.device or said:
        return terms.mapping.labelled(device, named.labels)
    return terms.mapping.place(named.labels, terms.own_device)


def _batch(item: dict[str, Any], number: int, named: Named, terms: Terms) -> dict[str, Any]:
    """A batch with the names of the topic, and with the time of receipt where a reading has none."""
    if "metric" in item and "readings" not in item:
        more = {name: value for name, value in item.items() if name not in _READING}
        item = more | {"readings": [{name: value for name, value in item.items() if name in _READING}]}
    if isinstance(rows := item.get("readings"), list):  # anything else the strict reader refuses
        received = {"ts": to_text(to_datetime(terms.arrived_us))}
        item = item | {"readings": [received | row if isinstance(row, dict) else row for row in rows]}
    said = item.get("device", "")
    if named.device and said not in {"", named.device}:
        message = "the payload names another device than the topic, which is what its sender may write to"
        raise Invalid([Fault((number, "device"), "device_mismatch", message)])
    try:
        device, labels = place(named, said, terms)
    except UnmappableError as error:
        raise Invalid([Fault((number, "device"), error.code, str(error))]) from None
    own = item.get("labels", {})
    return item | {"device": device, "labels": own | json.loads(labels) if isinstance(own, dict) else own}
