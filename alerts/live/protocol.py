"""The JSON form of the Centrifugo client protocol: text in, typed commands out, and the other way round. Pure.

Only what Sluice speaks of it; fields and flags it does not know are ignored. Everything encoded here is ASCII
(`ensure_ascii`), so the length of a text is its size in bytes.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic_core import from_json

from alerts.live.commands import Command, Connect, Ping, Pong, Refresh, Refused, ReplyError, Subscribe, Unsubscribe
from schemas.events import Event

INTERNAL = ReplyError(100, "internal server error", temporary=True)
PERMISSION_DENIED = ReplyError(103, "permission denied")
METHOD_NOT_FOUND = ReplyError(104, "method not found")
ALREADY_SUBSCRIBED = ReplyError(105, "already subscribed")
LIMIT_EXCEEDED = ReplyError(106, "limit exceeded")
BAD_REQUEST = ReplyError(107, "bad request")
NOT_AVAILABLE = ReplyError(108, "not available")
TOKEN_EXPIRED = ReplyError(109, "token expired")


class Disconnect(NamedTuple):
    """Why a connection is closed. The SDKs come back after 3000 to 3499 and stay away after 3500 to 3999."""

    code: int
    reason: str


CONNECTION_CLOSED = Disconnect(3000, "connection closed")
SHUTDOWN = Disconnect(3001, "shutdown: reconnect")
SERVER_ERROR = Disconnect(3004, "internal server error")
EXPIRED = Disconnect(3005, "connection expired")
SLOW = Disconnect(3008, "slow")
INSUFFICIENT_STATE = Disconnect(3010, "insufficient state: reconnect")
NO_PONG = Disconnect(3012, "no pong")
INVALID_TOKEN = Disconnect(3500, "invalid token")
BAD_REQUESTS = Disconnect(3501, "bad request")
STALE = Disconnect(3502, "stale: no connect command in time")


# What Centrifugo offers and Sluice does not: a dashboard only listens, and its history is `recover`.
UNAVAILABLE = frozenset(("publish", "presence", "presence_stats", "history", "send", "rpc", "sub_refresh"))


FieldT = TypeVar("FieldT", str, int, bool)


class _FieldError(Exception):
    """A field of a command is not of its type."""


def parse(frame: str) -> Iterator[Command]:
    """Read the commands of a frame, one a line, lazily: a client's flood of them is cut where its budget ends.

    Never raises: a line that is no command comes out as `Refused`. One newline at the end is allowed.
    """
    for line in frame.removesuffix("\n").split("\n"):
        yield _parse_line(line)


def _parse_line(line: str) -> Command:
    try:
        # Rejects NaN, lone surrogates and deep nesting (json.loads would answer the last with RecursionError).
        message = from_json(line, allow_inf_nan=False)
    except ValueError:
        return Refused(0, BAD_REQUEST, malformed=True)
    if not isinstance(message, dict):
        return Refused(0, BAD_REQUEST, malformed=True)
    if not message:
        return Pong()
    number = message.get("id")
    if type(number) is not int or not 0 < number < 1 << 32:
        return Refused(0, BAD_REQUEST, malformed=True)
    try:
        return _parse_command(number, message)
    except _FieldError:
        return Refused(number, BAD_REQUEST, malformed=True)


def _parse_command(number: int, message: dict[str, Any]) -> Command:
    for name, kind in (("connect", Connect), ("refresh", Refresh)):
        if name in message:
            return kind(number, _field(_body(message, name), "token", ""))
    if "subscribe" in message:
        body = _body(message, "subscribe")
        return Subscribe(
            number,
            channel=_field(body, "channel", ""),
            recover=_field(body, "recover", default=False),
            epoch=_field(body, "epoch", ""),
            offset=_field(body, "offset", 0),
            data=body.get("data"),
        )
    if "unsubscribe" in message:
        return Unsubscribe(number, _field(_body(message, "unsubscribe"), "channel", ""))
    if "ping" in message:
        return Ping(number)
    if not UNAVAILABLE.isdisjoint(message):
        return Refused(number, NOT_AVAILABLE, malformed=False)
    return Refused(number, METHOD_NOT_FOUND, malformed=True)


def _body(message: dict[str, Any], name: str) -> dict[str, Any]:
    body = message[name]
    if not isinstance(body, dict):
        raise _FieldError
    return body


def _field(body: dict[str, Any], name: str, default: FieldT) -> FieldT:
    """Read a field that is absent (or null) or of exactly the default's type: true is no integer here."""
    value = body.get(name)
    if value is None:
        return default
    if type(value) is not type(default):
        raise _FieldError
    return value


PING = "{}"
_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one for each message


def encode(message: dict[str, Any]) -> str:
    """Encode as compact ASCII JSON."""
    return _encode(message)


def reply(number: int, name: str, result: dict[str, Any]) -> str:
    """Encode the answer to the command `name` with id `number`."""
    return encode({"id": number, name: result})


def error(number: int, problem: ReplyError) -> str:
    """Encode a refusal; `number` is 0 where the id of the command could not be read."""
    return encode({"id": number, "error": problem._asdict()})


def publication(event: Event) -> str:
    """Encode an event as the channels carry it: the one time its payload is encoded."""
    return f'{{"offset":{event.offset},"data":{encode(event.data)}}}'


def push(channel: str, publication: str) -> str:
    """Wrap an encoded publication for the subscribers of a channel."""
    return f'{{"push":{{"channel":{json.dumps(channel)},"pub":{publication}}}}}'


def connected(number: int, client: str, version: str, ping_s: int, ttl_s: int | None) -> str:
    """Encode the answer to `connect`. Without `ping` and `pong` the SDKs would never pong.

    `ttl_s`: when the SDKs come with another token; None where this one does not expire.
    """
    result = {"client": client, "version": version, "ping": ping_s, "pong": True}
    return reply(number, "connect", result | _expiry(ttl_s))


def refreshed(number: int, client: str, version: str, ttl_s: int | None) -> str:
    """Encode the answer to `refresh`."""
    return reply(number, "refresh", {"client": client, "version": version} | _expiry(ttl_s))


def _expiry(ttl_s: int | None) -> dict[str, Any]:
    return {} if ttl_s is None else {"expires": True, "ttl": ttl_s}


def subscribed(
    number: int, epoch: str, offset: int, *, recover: bool, recovered: bool, publications: Sequence[str]
) -> str:
    """Encode the answer to `subscribe`.

    `offset` is the place after which pushes go on: SDKs take it for their position before they deliver
    `publications`, so it must not lie beyond the last of those while more are to come.
    """
    result: dict[str, Any] = {"recoverable": True, "positioned": True, "epoch": epoch, "offset": offset}
    if recover:
        result |= {"was_recovering": True, "recovered": recovered}
    head = encode({"id": number, "subscribe": result})
    return f'{head[:-2]},"publications":[{",".join(publications)}]}}}}' if publications else head


def joined(texts: Iterable[str], frame_bytes: int) -> Iterator[str]:
    """Join replies or pushes into frames of about `frame_bytes` each."""
    size, frame = 0, []
    for text in texts:
        frame.append(text)
        size += len(text)
        if size >= frame_bytes:
            yield "\n".join(frame)
            size, frame = 0, []
    if frame:
        yield "\n".join(frame)
