"""SenML packs as senders make them, resolved by the letter of RFC 8428, and what the decoder makes of them."""

import json
from typing import Any

import cbor2

from ingest.formats import senml
from ingest.formats.mapping import Mapping
from ingest.formats.senml_pack import LABELS
from ingest.formats.terms import Terms
from schemas.columns import Columns
from tests.unit.influx import BOUNDS, MS, NOW_US, table

NOW_S = MS / 1_000
NUMBERS = {name: number for number, name in LABELS.items()}


def terms(own: str | None = "own", mapping: Mapping | None = None) -> Terms:
    """On which a pack is read."""
    return Terms(BOUNDS, NOW_US, mapping or Mapping(), own)


def as_cbor(pack: Any, *, numbered: bool = True) -> bytes:
    """A pack in CBOR, with its fields by number as the RFC has them, or by name."""
    if numbered and isinstance(pack, list):
        pack = [{NUMBERS.get(k, k): v for k, v in each.items()} if isinstance(each, dict) else each for each in pack]
    written: bytes = cbor2.dumps(pack)
    return written


def read(pack: Any, own: str | None = "own", mapping: Mapping | None = None) -> Columns:
    """Decode a pack: in JSON, and in CBOR, which have to be the same."""
    if isinstance(pack, bytes):
        return senml.decode_json(pack, terms(own, mapping))
    columns = senml.decode_json(json.dumps(pack).encode(), terms(own, mapping))
    for numbered in (True, False):
        other = senml.decode_cbor(as_cbor(pack, numbered=numbered), terms(own, mapping))
        assert table(other) == table(columns)
        assert (other.skipped, other.rejected) == (columns.skipped, columns.rejected)
    return columns


def rows(columns: Columns) -> list[tuple[str, str, float, float]]:
    """Device, metric, seconds from now, value."""
    return [(device, metric, (ts - NOW_US) / 1e6, value) for device, metric, _, ts, value in table(columns)]


def codes(columns: Columns) -> list[tuple[Any, str]]:
    """Where faults are, and which."""
    return [(fault.loc, fault.code) for fault in columns.rejected]
