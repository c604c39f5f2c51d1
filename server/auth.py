"""Who makes this request, and may they: credentials in every form the contract allows, and the scope they need."""

import base64
import binascii
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import CollectorRegistry, Counter
from starlette.requests import HTTPConnection

from schemas.audit import Actor
from schemas.errors import Forbidden, TooManyFailures, Unauthorized
from schemas.keys import Principal, Scope

log = structlog.get_logger(__name__)

BURST = 100  # wrong keys from one address that are answered 401 at once; a gateway may carry many devices
TELL_S = 10.0  # between two lines in the log about wrong keys
_FOUND = "sluice.principal"  # where a request's scope keeps it
MAX_ADDRESSES = 10_000  # remembered by one worker; beyond them the one that failed longest ago is forgotten


def presented_key(connection: HTTPConnection) -> str:
    """The key in ``Authorization: Bearer | Token | Basic`` or ``X-API-Key``. Raises Unauthorized without one."""
    header = connection.headers.get("authorization")
    if header is None:
        key = connection.headers.get("x-api-key")
        if key is None:
            raise Unauthorized
        return key
    kind, _, credentials = header.partition(" ")
    kind, credentials = kind.lower(), credentials.strip()
    if kind in {"bearer", "token"} and credentials:
        return credentials
    if kind == "basic":
        try:
            return base64.b64decode(credentials, validate=True).decode("ascii").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthorized from None
    raise Unauthorized


class Failures:
    """Wrong keys: counted, told of in the log, and bounded by their address: so many at once, then one a second."""

    def __init__(self, monotonic: Callable[[], float], registry: CollectorRegistry | None = None) -> None:
        self._monotonic = monotonic
        self._until: dict[str, float] = {}  # seconds of the clock at which an address has a clean slate again
        text = "Requests, and connections to /ws, without a valid key."
        self._counted = Counter("sluice_auth_failures", text, ["door"], registry=registry)
        self._untold = 0
        self._tell_at = 0.0

    def count(self, door: str, address: str) -> None:
        """Count one, and say so in the log: one line in `TELL_S`, whatever comes, with the latest address."""
        self._counted.labels(door).inc()
        self._untold += 1
        if self._monotonic() >= self._tell_at:
            log.warning("keys refused", count=self._untold, door=door, address=address)
            self._untold, self._tell_at = 0, self._monotonic() + TELL_S

    def note(self, address: str) -> None:
        """One more. Raises TooManyFailures beyond `BURST`."""
        now = self._monotonic()
        owed = max(0.0, self._until.get(address, now) - now)
        if owed + 1 > BURST:
            raise TooManyFailures
        self._until.pop(address, None)
        if len(self._until) >= MAX_ADDRESSES:
            del self._until[next(iter(self._until))]
        self._until[address] = now + owed + 1


class Gate:
    """Lets a request in that presents a key with the scope it needs."""

    def __init__(self, authenticate: Callable[[str], Awaitable[Principal]], failures: Failures) -> None:
        self._authenticate, self._failures = authenticate, failures

    async def __call__(self, connection: HTTPConnection, scope: Scope) -> Principal:
        """Who makes the request. Raises what `identify` raises, and Forbidden where the key lacks the scope."""
        principal = connection.scope.get(_FOUND) or await self.identify(connection)
        if not principal.has(scope):
            raise Forbidden(f"this key lacks the scope '{scope.value}'")
        return principal

    async def identify(self, connection: HTTPConnection) -> Principal:
        """Who makes the request, whatever they may do. A valid key never counts as a failure.

        Raises Unauthorized, TooManyFailures, or DatabaseAway.
        """
        try:
            principal = await self._authenticate(presented_key(connection))
        except Unauthorized:
            address = connection.client.host if connection.client else ""
            self._failures.count("http", address)
            self._failures.note(address)
            raise
        connection.scope[_FOUND] = principal
        connection.state.actor = _actor(connection, principal)
        return principal

    async def connect(self, token: str) -> Principal:
        """Who connects to `/ws` with this token. Raises what the ring raises; whoever is refused is hung up on."""
        try:
            return await self._authenticate(token)
        except Unauthorized:
            self._failures.count("ws", "")
            raise


def _actor(connection: HTTPConnection, principal: Principal) -> Actor:
    """Who acts by this request, for the audit log; the id is the one that the edge bound to its log lines."""
    address = connection.client.host if connection.client else None
    structlog.contextvars.bind_contextvars(key_id=principal.key_id)
    return Actor.of(principal, address, structlog.contextvars.get_contextvars().get("request_id"))
