"""InfluxDB's doors: what its clients send in their URLs, and how they want to be answered."""

import json
from collections.abc import Sequence
from functools import partial

from ingest.foreign.dialect import Answer, Dialect
from ingest.foreign.door import Door, Head
from ingest.formats import influx
from ingest.formats.terms import Decode
from schemas.columns import PartReceipt, Receipt
from schemas.errors import DatabaseAway, Fault, Invalid, Malformed, SluiceError

VERSION = {"X-Influxdb-Version": "2.7.0-sluice", "X-Influxdb-Build": "Sluice"}
"""Clients look for them in `/ping`, and some in every answer."""

AWAY_S = 10  # influxdb-client tries five times, as long apart as it is told: half a minute has to be survived by that
_LATER = {"Retry-After": str(AWAY_S)}
_JSON = VERSION | {"Content-Type": "application/json; charset=utf-8"}
CODES = {  # of InfluxDB's own vocabulary
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    413: "request too large",
    414: "request too large",
    415: "invalid",
    422: "invalid",
    429: "too many requests",
    431: "request too large",
    503: "unavailable",
    504: "unavailable",
}


def _encode_v2(outcome: Receipt | SluiceError, _: str) -> Answer:
    if isinstance(outcome, SluiceError):
        document: dict[str, object] = {"code": CODES.get(outcome.status, "internal error"), "message": _said(outcome)}
        return _document(outcome.status, document, _LATER if isinstance(outcome, DatabaseAway) else None)
    if isinstance(outcome, PartReceipt) and outcome.rejected:
        return _document(400, _partial(outcome))
    return Answer(204, headers=VERSION)


def _encode_v1(outcome: Receipt | SluiceError, kind: str) -> Answer:
    """The same, with the message where version 1 had it.

    Telegraf repeats a batch for ever unless it is told that it was stored in part, or that it cannot be parsed.
    """
    answer = _encode_v2(outcome, kind)
    if not answer.body:
        return answer
    document = json.loads(answer.body)
    message = document.pop("message")
    if answer.status in {400, 422} and not message.startswith(("partial write", "unable to parse")):
        message = f"unable to parse: {message}"
    return _document(
        answer.status, {"error": message} | document, {"X-Influxdb-Error": message.encode("ascii", "replace").decode()}
    )


def _said(error: SluiceError) -> str:
    if isinstance(error, Invalid) and error.faults:
        return _first(error.faults, error.count)
    if isinstance(error, Malformed) and error.detail:  # which may be about the URL, and the title is not
        return error.detail
    return f"{error.title} ({error.detail})" if error.detail else error.title


def _partial(receipt: PartReceipt) -> dict[str, object]:
    """What was wrong with the first line that was left out, and how many there are."""
    faults, stored = receipt.rejected, receipt.accepted + receipt.duplicates
    what = f"partial write: {stored} values stored, not" if stored else "unable to parse"
    document: dict[str, object] = {"code": "invalid", "message": f"{what} {_first(faults, len(faults))}"}
    lines = [fault.loc[1] for fault in faults if fault.loc[:1] == ("line",)]
    return document | {"line": lines[0]} if lines else document


def _first(faults: Sequence[Fault], count: int) -> str:
    fault = faults[0]
    place = f"line {fault.loc[1]}: " if fault.loc[:1] == ("line",) else ""
    return f"{place}{fault.message}" + (f" (and {count - 1} more)" if count > 1 else "")


def _document(status: int, document: dict[str, object], headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(document, separators=(",", ":")).encode(), _JSON | (headers or {}))


def _decoder(head: Head) -> Decode:
    precision = head.parameters().get("precision") or "ns"
    if precision not in influx.PRECISIONS:
        raise Malformed(f"the precision is one of {', '.join(influx.PRECISIONS)}")
    return partial(influx.decode, precision=precision)


_MILLISECONDS = b"influxdb-client-js/"  # which waits 10 ms if it reads `Retry-After: 10`, and 5 s and more if nothing
V2 = Dialect(_encode_v2, misread_by=_MILLISECONDS)
V1 = Dialect(_encode_v1)
WRITE_V2 = Door("influx", _decoder, V2, names=influx.NAMES)
WRITE_V1 = Door("influx", _decoder, V1, names=influx.NAMES)
