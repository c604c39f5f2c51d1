"""The bytes of an answer that is written without the app: a receipt, or a refusal."""

import re
import secrets
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ingest.foreign.credentials import without_key
from ingest.foreign.dialect import Answer
from ingest.metrics import WriteMetrics
from schemas.columns import Receipt
from schemas.errors import Overloaded, SluiceError
from schemas.problems import MEDIA_TYPE, encode_problem

log = structlog.get_logger(__name__)

# Of the headers that other answers have for browsers, the two that matter to an answer no page can show: 200 bytes more
# a request are not nothing to a device on a metered line.
_ALWAYS = b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
MAX_LOGGED_CHARS = 200  # of a path: it may be 64 KiB long
HARMLESS_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")  # of a request, as its sender or a proxy may give it


def encode_answer(
    outcome: Receipt | SluiceError,
    common: Iterable[tuple[bytes, bytes]],
    *,
    keep_alive: bool,
    told: Answer | None = None,
    request_id: bytes = b"",
) -> bytes:
    """A whole answer. `common`: headers of every answer; `told`: what a foreign protocol tells instead."""
    if told is not None:
        status, body = told.status, told.body
        lines = _as_lines(told.headers)
    elif isinstance(outcome, Receipt):
        status, body = 200, outcome.as_json()
        lines = b"content-type: application/json\r\n"
    else:
        status, body = outcome.status, encode_problem(outcome)
        headers = {"content-type": MEDIA_TYPE, **outcome.headers()}
        lines = _as_lines(headers)
    length = b"" if status == 204 else b"content-length: %d\r\n" % len(body)
    parts = [STATUS_LINE[status], lines, length, _ALWAYS]
    parts += [b"%b: %b\r\n" % header for header in common]
    if request_id:
        parts.append(b"x-request-id: %b\r\n" % request_id)
    parts += (b"\r\n" if keep_alive else b"connection: close\r\n\r\n", body)
    return b"".join(parts)


def _as_lines(headers: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The id that a request came with, if it is a harmless one, else b""."""
    given = (value for name, value in headers if name == b"x-request-id")
    return next((bytes(value) for value in given if HARMLESS_ID.fullmatch(value)), b"")


def note_refusal(
    error: SluiceError, metrics: WriteMetrics | None, method: bytes, url: bytes, request_id: bytes = b""
) -> bytes:
    """Count and log a refusal; returns the id by which its sender can name it: the one it came with, if any."""
    request_id = request_id or secrets.token_hex(8).encode()
    path = without_key(unquote(url.partition(b"?")[0].decode("latin-1")))[:MAX_LOGGED_CHARS]
    if not isinstance(error, Overloaded):  # the queue tells of those, once a second
        fields = {"method": method.decode(), "path": path, "status": error.status, "code": error.code}
        log.info("refused", **fields, request_id=request_id.decode())
    if metrics is not None:
        metrics.refused.labels(error.status, error.code).inc()
    return request_id
