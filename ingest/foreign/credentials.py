"""Where a sender shows its key: in a header, or where a foreign protocol leaves no other place, in the URL."""

import base64
import binascii
import re
from urllib.parse import parse_qs

_IN_QUERY = {"/write", "/query"}  # InfluxDB 1: `u` and `p`
_IN_PATH = re.compile(r"/api/v1/([^/]+)(/.+)", re.DOTALL)  # ThingsBoard
_NEARLY = re.compile(r"/api/v1/+[^/]*(/.*)?", re.DOTALL)  # the same, or what somebody meant by it
_WRITE = "/api/v1/write"  # Prometheus
MAX_FIELDS = 50  # of a query string


def key_in_header(value: str) -> str | None:
    """The key in ``Authorization: Bearer | Token | Basic``: of a name and a password, the password."""
    kind, _, credentials = value.partition(" ")
    kind, credentials = kind.lower(), credentials.strip()
    if kind == "bearer":
        return credentials or None
    if kind == "token":  # `name:password` is what clients of InfluxDB 1 send to an InfluxDB 2
        return credentials.rpartition(":")[2] or None
    if kind == "basic":
        try:
            return base64.b64decode(credentials, validate=True).decode("ascii").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def key_in_url(path: str, query: bytes) -> str | None:
    """The key in the URL of a foreign protocol that has it there. No log shows it: they show `without_key`, masked."""
    if (found_in_path := _IN_PATH.fullmatch(path)) is not None:
        return found_in_path[1]
    if path not in _IN_QUERY or not query:
        return None
    try:
        found = parse_qs(query.decode("latin-1"), max_num_fields=MAX_FIELDS)
    except ValueError:
        return None
    return found.get("p", [None])[0]


def without_key(path: str) -> str:
    """The path with a place in it of the key that some protocols have there: what logs show, and tables know."""
    if path.startswith("/api/v1/") and path != _WRITE and (found := _NEARLY.fullmatch(path)) is not None:
        return f"/api/v1/{{key}}{found[1] or ''}"
    return path
