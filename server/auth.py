"""Who makes this request, and may they: credentials in every form the contract allows, and the scope they need."""

import base64
import binascii
from collections.abc import Awaitable, Callable

from starlette.requests import HTTPConnection

from schemas.errors import Forbidden, Unauthorized
from schemas.keys import Principal, Scope


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


class Gate:
    """Lets a request in that presents a key with the scope it needs."""

    def __init__(self, authenticate: Callable[[str], Awaitable[Principal]]) -> None:
        self._authenticate = authenticate

    async def __call__(self, connection: HTTPConnection, scope: Scope) -> Principal:
        """Raises Unauthorized, Forbidden, or DatabaseAway."""
        principal = await self._authenticate(presented_key(connection))
        if not principal.has(scope):
            raise Forbidden(f"this key lacks the scope '{scope.value}'")
        return principal
