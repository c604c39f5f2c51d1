"""WebSocket: handshakes, frames and commands that may not be, as bytes, and how each of them ends."""

import json
from dataclasses import dataclass

from tests.acceptance.catalogue.case import HOST, KEY, SECRET

TEXT, BINARY, CONTINUED, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MASK = b"\x01\x02\x03\x04"
HANDSHAKE = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13",
             b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")  # fmt: skip


def handshake(*lines: bytes, usual: tuple[bytes, ...] = HANDSHAKE) -> bytes:
    """A request for `/ws`."""
    return b"GET /ws HTTP/1.1\r\n" + HOST + b"".join(line + b"\r\n" for line in (*usual, *lines)) + b"\r\n"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, bits: int = 0, masked: bool = True) -> bytes:
    """One frame, as right or wrong as is asked for."""
    size = len(payload)
    length = (
        bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65_536 else b"\x7f" + size.to_bytes(8)
    )
    head = bytes([(fin << 7) | bits | opcode, length[0] | (masked << 7)]) + length[1:]
    if not masked:
        return head + payload
    keys = MASK * (size // 4 + 1)
    return head + MASK + (int.from_bytes(payload) ^ int.from_bytes(keys[:size])).to_bytes(size)


def command(number: int, **body: object) -> bytes:
    """A command in a frame; `$KEY$` cannot stand in one, as its length is that of the frame."""
    return frame(TEXT, json.dumps({"id": number, **body}).encode())


def subscribe(number: int, channel: str, **fields: object) -> bytes:
    """A command to subscribe."""
    return command(number, subscribe={"channel": channel, **fields})


def recover(number: int, epoch: str, offset: int) -> bytes:
    """A command to go on after a place in the sequence."""
    return subscribe(number, "alerts", recover=True, epoch=epoch, offset=offset)


@dataclass(frozen=True, slots=True)
class Refused:
    """A handshake that gets an HTTP answer."""

    name: str
    status: int
    sent: bytes

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Closed:
    """Frames behind `connect`, and the code of the close frame; 0 where the connection may simply end."""

    name: str
    code: int
    sent: bytes
    errors: tuple[int, ...] = ()
    """Codes of the errors that commands get first."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Answered:
    """A command behind `connect`, and what its answer holds; the connection lives on."""

    name: str
    sent: bytes
    error: int
    """Of the last command's answer."""
    key: bytes = KEY

    def __str__(self) -> str:
        return self.name


LONG_KEY = b"Sec-WebSocket-Key: " + b"s3cretValue" * 90
COOKIE = b"Cookie: sluice_session=s3cretValue"
HANDSHAKES = [
    Refused("a cookie, and an evil Origin", 403, handshake(COOKIE, b"Origin: https://evil.example")),
    Refused("a cookie, and Origin null", 403, handshake(COOKIE, b"Origin: null")),
    Refused("a cookie, and no Origin", 403, handshake(COOKIE)),
    Refused("a cookie, and an empty Origin", 403, handshake(COOKIE, b"Origin: ")),
    Refused("a cookie, and two Origins", 400, handshake(COOKIE, b"Origin: http://sluice", b"Origin: http://evil")),
    Refused("a cookie, and an Origin like ours", 403, handshake(COOKIE, b"Origin: http://sluice.evil.example")),
    Refused("a cookie, and our host as a user", 403, handshake(COOKIE, b"Origin: http://sluice@evil.example")),
    Refused("a cookie, and another port", 403, handshake(COOKIE, b"Origin: http://sluice:81")),
    Refused("a cookie, and an Origin that is no URL", 403, handshake(COOKIE, b"Origin: http://[s3cretValue")),
    Refused("an unknown version", 400, handshake(usual=(*HANDSHAKE[:2], b"Sec-WebSocket-Version: 7", HANDSHAKE[3]))),
    Refused("no key", 400, handshake(usual=HANDSHAKE[:3])),
    Refused("a key that is none", 400, handshake(b"X: 1", usual=(*HANDSHAKE[:3], LONG_KEY))),
    Refused("a header of 9 KB", 431, handshake(b"X-Long: " + b"x" * 9_000)),
    Refused("200 headers", 431, handshake(*[b"X-%d: 1" % number for number in range(200)])),
    Refused("another path", 403, handshake().replace(b"/ws", b"/s3cretValue")),
]  # fmt: skip
WELCOME = [
    handshake(COOKIE, b"Origin: http://sluice"),
    handshake(COOKIE, b"Origin: https://SLUICE"),
    handshake(COOKIE, b"Origin: https://friend.example"),
    handshake(b"Origin: https://evil.example"),
]
"""Handshakes that are taken: of our own pages, of an allowed origin, and of any where there is no cookie."""

BAD_TEXT = frame(TEXT, SECRET.encode())
FRAMES = [
    Closed("an unmasked frame", 1002, frame(TEXT, b"{}", masked=False)),
    Closed("a reserved opcode", 1002, frame(3, b"{}")),
    Closed("a reserved control opcode", 1002, frame(11)),
    *[Closed(f"reserved bit {bit:#x}", 1002, frame(TEXT, b"{}", bits=bit)) for bit in (0x40, 0x20, 0x10)],
    Closed("a fragmented ping", 1002, frame(PING, b"a", fin=False)),
    Closed("a ping of 126 bytes", 1002, frame(PING, b"a" * 126)),
    Closed("a stray continuation", 1002, frame(CONTINUED, b"a")),
    Closed("a message within a message", 1002, frame(TEXT, b"{", fin=False) + frame(TEXT, b"}")),
    Closed("a close frame of one byte", 1002, frame(CLOSE, b"a")),
    Closed("a close code that is reserved", 1002, frame(CLOSE, (1005).to_bytes(2))),
    Closed("bad UTF-8", 1007, frame(TEXT, b"\xff" + SECRET.encode())),
    Closed("bad UTF-8 in fragments", 1007, frame(TEXT, b"{\xc3", fin=False) + frame(CONTINUED, b"}")),
    Closed("bad UTF-8 in a close reason", 1007, frame(CLOSE, (1000).to_bytes(2) + b"\xff")),
    Closed("over 64 KiB", 1009, frame(TEXT, b" " * 65_537)),
    Closed("over 64 KiB in fragments", 1009, frame(TEXT, b" " * 40_000, fin=False) + frame(CONTINUED, b" " * 40_000)),
    Closed("a length of 2^63", 1009, b"\x81\xff" + b"\xff" * 8 + MASK),
    Closed("binary, thrice", 3501, frame(BINARY, SECRET.encode()) * 3, (107, 107, 107)),
    Closed("no JSON, thrice", 3501, BAD_TEXT * 3, (107, 107, 107)),
    Closed("no object, thrice", 3501, frame(TEXT, b"[1]") * 3, (107, 107, 107)),
    Closed("an unknown command, thrice", 3501, b"".join(command(9, **{SECRET: {}}) for _ in range(3)), (104,) * 3),
    Closed("lines that are none, thrice", 3501, frame(TEXT, b"\n".join([SECRET.encode()] * 3)), (107,) * 3),
    Closed("a second connect", 3501, command(9, connect={"token": SECRET})),
    Closed("a flood of pings", 1008, frame(PING, b"a") * 20_000),
    Closed("a flood of pongs", 1008, frame(PONG, b"a") * 20_000),
    Closed("100,000 empty fragments", 1008, frame(TEXT, b"{", fin=False) + frame(CONTINUED, fin=False) * 100_000),
    Closed("a flood of commands", 3501, b"".join(subscribe(9, "alerts:*") for _ in range(5_000)), (103,)),
    Closed("a flood of commands in a frame", 3501, frame(TEXT, b"\n".join([b"{}"] * 20_000))),
]  # fmt: skip
BEFORE_CONNECT = [  # who never connects is closed after ten seconds: tests/integration/test_ws_limits.py
    Closed("a command before connect", 3501, subscribe(9, "alerts")),
    Closed("a wrong token", 3500, command(9, connect={"token": f"slk_a_{SECRET}"})),
    Closed("no token", 3500, command(9, connect={})),
    Closed("a token of another kind", 3501, command(9, connect={"token": 5}) * 3, (107,) * 3),
]
BOUND = b"$BOUND$"
COMMANDS = [
    Answered("a channel that is not yours", subscribe(9, "alerts:room-1"), 103, key=BOUND),
    Answered("a channel of nobody", subscribe(9, "alerts:room-none"), 103, key=BOUND),
    Answered("everybody's alerts with a bound key", subscribe(9, "alerts"), 103, key=BOUND),
    Answered("readings that are not yours", subscribe(9, "readings:room-1"), 103, key=BOUND),
    Answered("a channel of all", subscribe(9, "*"), 103),
    Answered("a glob as a device", subscribe(9, "alerts:*"), 103),
    Answered("a channel that cannot exist", subscribe(9, SECRET), 103),
    Answered("a channel without a name", subscribe(9, ""), 103),
    Answered("NUL in a channel", subscribe(9, "alerts:a\0"), 103),
    Answered("129 channels", b"".join(subscribe(number, f"alerts:d-{number}") for number in range(1, 130)), 106),
    Answered("a command we do not have", command(9, publish={"channel": "alerts", "data": {}}), 108),
]  # fmt: skip
NOWHERE = [("the epoch", -1), ("the epoch", 1 << 40), ("the epoch", 1 << 70), (SECRET, 0), ("", 0)]
"""Places that are none in the sequence: epoch (`the epoch` stands for the real one) and offset."""
