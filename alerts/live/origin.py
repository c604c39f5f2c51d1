"""Which page's script may use the cookie of this host to open a WebSocket: browsers ask nobody before they send it."""

from collections.abc import Set as AbstractSet
from urllib.parse import urlsplit

from starlette.datastructures import Headers


def is_foreign(headers: Headers, allowed: AbstractSet[str]) -> bool:
    """Whether a handshake carries a cookie, and does not come from a page of this host or of an allowed origin.

    Without a cookie it does not matter: the client then has to know a token.
    """
    if "cookie" not in headers:
        return False
    origins = headers.getlist("origin")
    if len(origins) != 1:
        return True
    origin = origins[0].lower()
    if origin in allowed:
        return False
    try:
        parts = urlsplit(origin)
    except ValueError:
        return True
    # The scheme may be another one before a proxy that ends TLS.
    return parts.scheme not in {"http", "https"} or parts.netloc != headers.get("host", "").lower() or not parts.netloc
