"""Every bound of a live connection, in one place and with its unit."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection to `/ws` may take, and how long it may take it. Tests shorten the seconds."""

    connect_s: float = 10.0
    """From accepting the socket to a valid `connect`."""
    ping_s: float = 25.0
    """Between two pings of ours; told to the client in whole seconds, rounded up."""
    pong_s: float = 8.0
    """From a ping to its pong."""
    recheck_s: float = 2.0
    """Between two looks at whether a key in use still is a valid one. A worker believes a key for another five seconds,
    and both together have to be well below the ten that are promised."""
    expired_s: float = 25.0
    """From the end of a token to closing its connection: the SDKs ask for another one at that moment, not before."""
    stall_s: float = 5.0
    """A frame the socket does not take for so long makes its client slow, too. Looked at every `recheck_s`."""
    close_s: float = 5.0
    """From the decision to close to giving up on a socket that takes no more bytes."""
    queue_bytes: int = 1 << 20
    """Frames waiting for one connection; one byte more and it is closed as slow."""
    burst_bytes: int = 256 << 10
    """Events that come at once, on one channel. More are not queued but read, as fast as each client takes them:
    a storm must not make everybody a slow consumer."""
    frame_bytes: int = 32 << 10
    """Waiting replies and pushes are joined into frames of about this size: one system call for many of them."""
    answer_bytes: int = 256 << 10
    """Missed publications inside the answer to `subscribe`; the rest follow as pushes."""
    page_events: int = 256
    """Events of one read for a subscription that catches up: bounds what a read holds in memory."""
    channels: int = 128
    """Channels of one connection."""
    malformed: int = 3
    """The malformed command that closes the connection."""
    commands_per_s: float = 100.0
    """Commands (pongs included) a client may send steadily …"""
    commands_burst: int = 1_000
    """… and at once. A client that comes back sends one for each channel; a flood is closed."""
