"""JSON as a tree: for bodies whose shape no schema can tell before they are read."""

from typing import Any

from pydantic_core import from_json

from schemas.errors import Malformed, TooLarge

MAX_DEPTH = 200  # of lists and objects within each other
_LARGE = 1 << 20  # bytes of a body; in fewer there is no room for parts enough to do harm
_PARTS = (b",", b"[", b"{")


def parsed(body: bytes) -> Any:
    """The body's tree. Raises Malformed: no JSON, or nested deeper than `MAX_DEPTH`."""
    try:
        found = from_json(b"[%b]" % body)  # one level more, as the parser's own bound is one more than ours
    except ValueError:
        found = []
    if len(found) == 1:
        return found[0]
    try:
        from_json(body)  # to say where it is wrong
    except ValueError as error:
        raise Malformed(f"Invalid JSON: {error}") from None
    raise Malformed(f"Invalid JSON: nested deeper than {MAX_DEPTH}")


def parsed_within(body: bytes, most: int) -> Any:
    """The same of a body that may have so many members, items and containers in all, as each costs 100 bytes.

    Raises TooLarge, before anything is parsed; and Malformed.
    """
    if len(body) > _LARGE and sum(map(body.count, _PARTS)) > most:
        raise TooLarge("json_parts", most)
    return parsed(body)
