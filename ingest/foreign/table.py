"""Which path is whose: doors by which readings come, and the dialect of every path of a foreign protocol."""

from functools import lru_cache

from ingest.foreign import influx, mqtt, otlp, prometheus, senml, thingsboard
from ingest.foreign.credentials import without_key
from ingest.foreign.dialect import Dialect
from ingest.foreign.door import Door, Head
from ingest.formats.terms import Decode
from schemas.errors import SluiceError

DOORS: dict[str, Door] = {
    "/api/v2/write": influx.WRITE_V2,
    "/write": influx.WRITE_V1,
    "/api/v1/write": prometheus.WRITE,
    thingsboard.TELEMETRY_PATH: thingsboard.TELEMETRY,
    thingsboard.ATTRIBUTES_PATH: thingsboard.ATTRIBUTES,
    "/v1/metrics": otlp.WRITE,
}
"""By path, `without_key`."""

NATIVE = "/v1/readings"
_NATIVE_URL = NATIVE.encode()
MAX_CACHED_BYTES = 1_024  # of a URL and a Content-Type: longer ones go the long way

FORMATS: dict[str, Door] = {door.format: door for door in (*DOORS.values(), senml.WRITE, mqtt.TRIED)}
"""By name: what a payload can be tried as."""

_DIALECTS: dict[str, Dialect] = {
    **{path: door.dialect for path, door in DOORS.items()},
    "/query": influx.V1,
    **dict.fromkeys(otlp.OTHER_PATHS, otlp.DIALECT),
    **dict.fromkeys(thingsboard.OTHER_PATHS, thingsboard.DIALECT),
}


def dialect_of(path: str) -> Dialect | None:
    """The dialect in which everything at this path is answered; None: Sluice's own."""
    return _DIALECTS.get(without_key(path))


def door_of_kind(kind: str) -> Door | None:
    """The door of a foreign format that comes to the native path, by its Content-Type."""
    return senml.WRITE if kind.partition(";")[0].strip().lower() in senml.KINDS else None


def dialect_at(url: bytes, kind: str = "") -> Dialect | None:
    """The same for a URL as it came, percent-encoded and with its query; `kind`: where what was sent was understood."""
    if url == _NATIVE_URL:  # as nearly always
        return senml.DIALECT if kind else None
    return dialect_of(url.partition(b"?")[0].decode("latin-1"))


def express(url: bytes, kind: bytes) -> tuple[Door, Decode] | None:
    """The door, and its decoder, of a request whose URL and Content-Type say nothing that needs a closer look."""
    if len(url) + len(kind) > MAX_CACHED_BYTES:
        return None
    path, mark, query = url.decode("latin-1").partition("?")
    return _express(without_key(path) + mark + query, kind.decode("latin-1"))


@lru_cache(maxsize=1_024)  # a device sends the same ones all day
def _express(url: str, kind: str) -> tuple[Door, Decode] | None:
    path, _, query = url.partition("?")
    door = door_of_kind(kind) if url == NATIVE else DOORS.get(path)
    if door is None:
        return None
    try:
        return door, door.decoder(Head(query.encode("latin-1"), kind))
    except SluiceError:
        return None
