"""Who a client is: by its `connect`, and by the tokens it brings later, before the first one has expired."""

import asyncio
import math
from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import HTTPConnection

from alerts.live import protocol
from alerts.live.commands import Connect, Refresh
from alerts.live.connection import Connection
from alerts.live.limits import Limits
from schemas.errors import Forbidden, SluiceError, TokenExpired, Unauthorized
from schemas.keys import Admission, Principal, Scope

log = structlog.get_logger(__name__)

Admit = Callable[[HTTPConnection, str], Awaitable[Admission]]
"""The handshake and a token to whoever that is; with no token, by the handshake's cookie. Raises a `SluiceError`:
Unauthorized for every token that is not valid (any more), TokenExpired where another one would be."""


class Identity:
    """Whom one connection belongs to; nobody before its `connect`."""

    def __init__(
        self, connection: Connection, handshake: HTTPConnection, admit: Admit, limits: Limits, version: str
    ) -> None:
        self._connection, self._handshake, self._admit = connection, handshake, admit
        self._limits, self._version = limits, version
        self.principal: Principal | None = None

    async def connect(self, command: Connect) -> bool:
        """Let the client in, and answer; False where it was refused."""
        try:
            admission = await self._admit(self._handshake, command.token)
        except TokenExpired:
            # An error, no close: on this code, and no other, the SDKs come back with another token.
            self._connection.send(protocol.error(command.id, protocol.TOKEN_EXPIRED))
            return False
        except SluiceError as error:
            self._refuse(command.id, error)
            return False
        if not self._take(admission):
            return False
        ping_s, ttl_s = math.ceil(self._limits.ping_s), _whole(admission.ttl_s)
        self._connection.send(protocol.connected(command.id, self._connection.id, self._version, ping_s, ttl_s))
        return True

    async def refresh(self, command: Refresh) -> None:
        """Go on for as long as another token lasts. It has to be of the same key: channels were given by that."""
        if not command.token:
            self._connection.send(protocol.error(command.id, protocol.BAD_REQUEST))
            return
        try:
            admission = await self._admit(self._handshake, command.token)
        except TokenExpired:
            self._connection.close(protocol.EXPIRED)
            return
        except SluiceError as error:
            self._refuse(command.id, error)
            return
        if self.principal is None or admission.principal.key_id != self.principal.key_id:
            self._connection.close(protocol.INVALID_TOKEN)
        elif self._take(admission):
            ttl_s = _whole(admission.ttl_s)
            self._connection.send(protocol.refreshed(command.id, self._connection.id, self._version, ttl_s))

    def _take(self, admission: Admission) -> bool:
        if not admission.principal.has(Scope.READ):
            self._connection.close(protocol.INVALID_TOKEN)
            return False
        self.principal = admission.principal
        self._connection.holder = admission.holder
        self._connection.expires_at = None
        if admission.ttl_s is not None:
            self._connection.expires_at = asyncio.get_running_loop().time() + admission.ttl_s
        return True

    def _refuse(self, number: int, error: SluiceError) -> None:
        if isinstance(error, Unauthorized | Forbidden):
            self._connection.close(protocol.INVALID_TOKEN)
            return
        log.warning("connect_refused", error=repr(error))
        self._connection.send(protocol.error(number, protocol.INTERNAL))


def _whole(ttl_s: float | None) -> int | None:
    return None if ttl_s is None else max(1, math.floor(ttl_s))
