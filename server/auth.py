"""Who makes this request, and may they: credentials in every form the contract allows, and the scope they need."""

import hmac
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import CollectorRegistry, Counter
from starlette.requests import HTTPConnection

from ingest.foreign.credentials import key_in_header, key_in_url
from schemas.audit import Actor
from schemas.errors import CsrfMissing, Forbidden, TooManyFailures, Unauthorized
from schemas.keys import Principal, Scope
from server.bucket import Bucket
from server.sessions import Session, csrf_of

log = structlog.get_logger(__name__)

BURST = 100  # wrong keys from one address that are answered 401 at once; a gateway may carry many devices
TELL_S = 10.0  # between two lines in the log about wrong keys
_FOUND = "sluice.principal"  # where a request's scope keeps it
_SESSION = "sluice.session"
COOKIE = "sluice_session"
HARMLESS = {"GET", "HEAD"}  # change nothing, so that they may come from anywhere
Recognise = Callable[[str], Awaitable[tuple[Session, Principal]]]


def presented_key(connection: HTTPConnection) -> str:
    """The key in ``Authorization: Bearer | Token | Basic`` or ``X-API-Key``. Raises Unauthorized without one.

    Where a foreign protocol has it in the URL, and in none of these, it is taken from there.
    """
    header = connection.headers.get("authorization")
    if header is not None:
        key = key_in_header(header)
    elif (key := connection.headers.get("x-api-key")) is None:
        key = key_in_url(connection.scope.get("path", ""), connection.scope.get("query_string", b""))
    if key is None:
        raise Unauthorized
    return key


def presented_cookie(connection: HTTPConnection) -> str | None:
    """The session's cookie, if that is what the request relies on: a key in a header wins over it."""
    if "authorization" in connection.headers or "x-api-key" in connection.headers:
        return None
    return connection.cookies.get(COOKIE)


class Failures:
    """Wrong keys: counted, told of in the log, and bounded by their address: so many at once, then one a second."""

    def __init__(self, monotonic: Callable[[], float], registry: CollectorRegistry | None = None) -> None:
        self._monotonic = monotonic
        self._bucket = Bucket(monotonic, BURST)
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
        if (wait_s := self._bucket.take(address)) > 0:
            raise TooManyFailures(retry_after=wait_s)


class Gate:
    """Lets a request in that presents a key, or the cookie of a session, with the scope it needs."""

    def __init__(
        self,
        authenticate: Callable[[str], Awaitable[Principal]],
        failures: Failures,
        recognise: Recognise | None = None,
    ) -> None:
        self._authenticate, self._failures, self._recognise = authenticate, failures, recognise

    async def __call__(self, connection: HTTPConnection, scope: Scope, *, cookies: bool = False) -> Principal:
        """Who makes the request. Raises what `identify` raises, and Forbidden where the key lacks the scope."""
        principal = connection.scope.get(_FOUND) or await self.identify(connection, cookies=cookies)
        if not principal.has(scope):
            raise Forbidden(f"this key lacks the scope '{scope.value}'")
        return principal

    async def identify(self, connection: HTTPConnection, *, cookies: bool = False) -> Principal:
        """Who makes the request, whatever they may do; with `cookies`, also by that of a session, if there is no key.

        A valid key never counts as a failure. Raises Unauthorized, TooManyFailures, DatabaseAway; and CsrfMissing,
        since a browser sends a cookie along with whatever a page of another site has it send.
        """
        cookie = presented_cookie(connection) if cookies else None
        try:
            if cookie is None or self._recognise is None:
                principal = await self._authenticate(presented_key(connection))
            else:
                session, principal = await self._recognise(cookie)
                connection.scope[_SESSION] = session, cookie
        except Unauthorized:
            address = connection.client.host if connection.client else ""
            self._failures.count("http", address)
            self._failures.note(address)
            raise
        connection.scope[_FOUND] = principal
        connection.state.actor = _actor(connection, principal)
        if cookie is not None and connection.scope["method"] not in HARMLESS:
            told = connection.headers.get("x-csrf-token", "")
            if not hmac.compare_digest(told.encode(), csrf_of(cookie).encode()):
                raise CsrfMissing
        return principal


def principal_of(connection: HTTPConnection) -> Principal:
    """Who makes a request that the guard let in."""
    principal: Principal = connection.scope[_FOUND]
    return principal


def session_of(connection: HTTPConnection) -> tuple[Session, str] | None:
    """The session by which a request was let in, and its cookie; None where that was a key."""
    found: tuple[Session, str] | None = connection.scope.get(_SESSION)
    return found


def _actor(connection: HTTPConnection, principal: Principal) -> Actor:
    """Who acts by this request, for the audit log; the id is the one that the edge bound to its log lines."""
    address = connection.client.host if connection.client else None
    structlog.contextvars.bind_contextvars(key_id=principal.key_id)
    return Actor.of(principal, address, structlog.contextvars.get_contextvars().get("request_id"))
