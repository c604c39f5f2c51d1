"""Which path is whose: doors by which readings come, and the dialect of every path of a foreign protocol."""

from functools import lru_cache

from ingest.foreign import influx, prometheus
from ingest.foreign.dialect import Dialect
from ingest.foreign.door import Door, Head
from ingest.formats.terms import Decode
from schemas.errors import SluiceError

DOORS: dict[str, Door] = {
    "/api/v2/write": influx.WRITE_V2,
    "/write": influx.WRITE_V1,
    "/api/v1/write": prometheus.WRITE,
}
"""By path."""

NATIVE = b"/v1/readings"
MAX_CACHED_BYTES = 1_024  # of a URL and a Content-Type: longer ones go the long way

FORMATS: dict[str, Door] = {door.format: door for door in DOORS.values()}
"""By name: what a payload can be tried as."""

_DIALECTS: dict[str, Dialect] = {path: door.dialect for path, door in DOORS.items()} | {"/query": influx.V1}


def dialect_of(path: str) -> Dialect | None:
    """The dialect in which everything at this path is answered; None: Sluice's own."""
    return _DIALECTS.get(path)


def dialect_at(url: bytes) -> Dialect | None:
    """The same for a URL as it came, percent-encoded and with its query."""
    if url == NATIVE:  # as nearly always
        return None
    return dialect_of(url.partition(b"?")[0].decode("latin-1"))


def express(url: bytes, kind: bytes) -> tuple[Door, Decode] | None:
    """The door, and its decoder, of a request whose URL and Content-Type say nothing that needs a closer look."""
    return _express(url, kind) if len(url) + len(kind) <= MAX_CACHED_BYTES else None


@lru_cache(maxsize=1_024)  # a device sends the same ones all day
def _express(url: bytes, kind: bytes) -> tuple[Door, Decode] | None:
    path, _, query = url.partition(b"?")
    door = DOORS.get(path.decode("latin-1"))
    if door is None:
        return None
    try:
        return door, door.decoder(Head(query, kind.decode("latin-1")))
    except SluiceError:
        return None
