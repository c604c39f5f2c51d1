"""What a client may ask, as the protocol has read it. Pure."""

from dataclasses import dataclass
from typing import NamedTuple


class ReplyError(NamedTuple):
    """Why a command failed. `temporary`: the SDKs try it again by themselves."""

    code: int
    message: str
    temporary: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """The first command of every connection."""

    id: int
    token: str


@dataclass(frozen=True, slots=True)
class Refresh:
    """Go on with another token, as the first one expires."""

    id: int
    token: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Begin, or with `recover` go on after (`epoch`, `offset`), to receive a channel."""

    id: int
    channel: str
    recover: bool
    epoch: str
    offset: int
    data: object = None
    """What the client wishes, as JSON has it; which of that may be had, the channel decides."""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Receive a channel no more."""

    id: int
    channel: str


@dataclass(frozen=True, slots=True)
class Ping:
    """A client that wants to know whether we are there (the SDKs never ask)."""

    id: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to our ping: an empty object."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that is answered with an error whatever the state; `malformed` ones are counted against the client."""

    id: int
    """0 where none could be read."""
    error: ReplyError
    malformed: bool


Command = Connect | Refresh | Subscribe | Unsubscribe | Ping | Pong | Refused
