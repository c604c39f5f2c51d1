"""A request with a body that asks for an upgrade which nobody offers: a request like any other (RFC 9110, 7.8).

The parser takes no body behind a head that asks for an upgrade: it leaves what follows to the other protocol. So such a
head is parsed once more, without that line.
"""

from collections.abc import Sequence

import httptools

from schemas.errors import BadHttp

_FRAMING = {b"content-length", b"transfer-encoding"}
Header = tuple[bytes, bytes]


def plain_head(parser: httptools.HttpRequestParser, url: bytes, headers: Sequence[Header]) -> bytes:
    """The head that was parsed just now, as one that asks for no upgrade; empty where no body follows it."""
    if not any(name in _FRAMING for name, _ in headers):
        return b""
    method = parser.get_method()
    if method == b"CONNECT":  # an upgrade by its method: it would never end
        raise BadHttp("nobody is connected to anywhere from here")
    lines = [b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade"]
    return b"".join((method, b" ", url, b" HTTP/", parser.get_http_version().encode(), b"\r\n", *lines, b"\r\n"))
