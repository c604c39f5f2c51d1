"""OTLP's door: metrics over HTTP, and how exporters want to be answered: in the encoding of their request.

Exporters send again on 429, 502, 503 and 504 and on nothing else, a few times; what is partly stored is a success that
says how much of it is not, and why.
"""

import json
from dataclasses import dataclass

from ingest.foreign.dialect import Answer, Dialect
from ingest.foreign.door import Door, Head
from ingest.formats import otlp
from ingest.formats.mapping import cleaned
from ingest.formats.otlp_series import NAMES
from ingest.formats.terms import Decode
from ingest.formats.wire import field, integer
from schemas.columns import PartReceipt, Receipt
from schemas.errors import DatabaseAway, Fault, Invalid, SluiceError, UnsupportedMediaType

PROTOBUF, JSON = "application/x-protobuf", "application/json"
OTHER_PATHS = ("/v1/logs", "/v1/traces")
ONLY_METRICS = "Sluice takes metrics only: set OTEL_TRACES_EXPORTER=none and OTEL_LOGS_EXPORTER=none"
AWAY_S = 8
"""Seconds until who met PostgreSQL away shall come again. The exporter for Python tries six times, and waits as long as
it is told: with one second it would drop what it has after five. Within its own ten seconds (`timeout`) this is one
more try, with a longer one 40 s."""

_CODES = {  # of google.rpc.Code
    400: 3,  # INVALID_ARGUMENT
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    404: 5,  # NOT_FOUND
    405: 12,  # UNIMPLEMENTED
    413: 3,
    414: 3,
    415: 3,
    422: 3,
    429: 8,  # RESOURCE_EXHAUSTED
    431: 3,
    503: 14,  # UNAVAILABLE
    504: 14,
}
_UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class _Partial:
    """What an ExportMetricsPartialSuccess says."""

    rejected: int
    message: str

    def as_protobuf(self) -> bytes:
        return field(1, (integer(1, self.rejected) if self.rejected else b"") + field(2, self.message.encode()))

    def as_json(self) -> bytes:
        rejected = {"rejectedDataPoints": str(self.rejected)} if self.rejected else {}
        return _json({"partialSuccess": rejected | {"errorMessage": self.message}})


def _encode(outcome: Receipt | SluiceError, kind: str) -> Answer:
    if isinstance(outcome, SluiceError):
        headers = {"Retry-After": str(AWAY_S)} if isinstance(outcome, DatabaseAway) else {}
        return _status(outcome.status, _said(outcome), kind, headers)
    partial = _partial(outcome) if isinstance(outcome, PartReceipt) else None
    if partial and partial.rejected and not outcome.accepted + outcome.duplicates:
        return _status(400, partial.message, kind)  # none of it is good, and not all exporters read what a 200 says
    if _is_protobuf(kind):
        return Answer(200, partial.as_protobuf() if partial else b"", {"Content-Type": PROTOBUF})
    return Answer(200, partial.as_json() if partial else b"{}", {"Content-Type": JSON})


def _partial(receipt: PartReceipt) -> _Partial | None:
    faults = receipt.rejected
    said = [_first(faults[0], len(faults))] if faults else []
    if receipt.notes:
        said.append(f"not stored: {'; '.join(receipt.notes)}")
    return _Partial(len(faults), ". ".join(said)) if said else None


def _first(fault: Fault, count: int) -> str:
    """The first fault, by the name of its metric: with that its sender can find it."""
    name = str(fault.loc[{"metric": 1, "series": 2}.get(str(fault.loc[0]), 0)]) if fault.loc else ""
    others = f" (the first of {count} data points that were not stored)" if count > 1 else ""
    return f"metric '{cleaned(name[:64])}': {fault.message} ({fault.code}){others}"


def _said(error: SluiceError) -> str:
    if isinstance(error, Invalid) and error.faults:
        return _first(error.faults[0], error.count)
    return f"{error.title} ({error.detail})" if error.detail else error.title


def _status(status: int, message: str, kind: str, headers: dict[str, str] | None = None) -> Answer:
    """A google.rpc.Status."""
    code = _CODES.get(status, _UNKNOWN)
    if _is_protobuf(kind):
        body, kind = integer(1, code) + field(2, message.encode()), PROTOBUF
    else:
        body, kind = _json({"code": code, "message": message}), JSON
    return Answer(status, body, {"Content-Type": kind} | (headers or {}))


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _is_protobuf(kind: str) -> bool:
    return kind.partition(";")[0].strip().lower() == PROTOBUF


def _decoder(head: Head) -> Decode:
    kind, _, parameters = head.kind.lower().partition(";")
    if kind.strip() == PROTOBUF:
        return otlp.decode
    if kind.strip() == JSON and parameters.replace(" ", "").replace('"', "") in {"", "charset=utf-8"}:
        return otlp.decode_json
    raise UnsupportedMediaType(f"OTLP is '{PROTOBUF}' or '{JSON}', in UTF-8")


DIALECT = Dialect(_encode)
WRITE = Door("otlp", _decoder, DIALECT, names=NAMES)
