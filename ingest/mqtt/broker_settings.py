"""What a connection to a broker needs; apart from the connection, as that imports a library which few commands need."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the broker is, and as whom we come."""

    host: str
    port: int
    client_id: str
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None
    is_version_5: bool
    receive_maximum: int
    """Messages in flight to us, not acknowledged."""
    session_s: int
    """How long the broker keeps our session, and messages for it, while we are away; 0: not at all."""
    keepalive_s: int
    max_packet_bytes: int
    filters: Sequence[str]
    """With `$share/…` already."""
