"""Texts and escapes of line protocol put away, so that what is left can be cut at every space, comma and `=`.

In their place stand bytes that no UTF-8 has, and that a body therefore must not have of its own. A text that goes over
the end of a line stays, as does a quote that begins none: lines with a quote left are for the strict reader.
"""

import re

import numpy as np

TEXT = 0xFF
"""In the place of a whole text, behind its `=`."""

_MARK = bytes([TEXT])
_A_TEXT = re.compile(rb'="[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"(?=[, \n]|\Z)')
_EQUALS, _BACKSLASH = b"=\\"
_ESCAPED = bytes.maketrans(b",= ", b"\xfc\xfd\xfe")  # behind a backslash
_BACK = bytes.maketrans(b"\xfc\xfd\xfe", b",= ")
_FOREIGN = (_MARK, b"\xfc", b"\xfd", b"\xfe")
_BEHIND_A_TEXT = np.isin(np.arange(256), list(b", \n"))


def put_away(body: bytes) -> bytes | None:
    """The body without texts and escapes, line by line; itself where it has none. None: it is not UTF-8."""
    quotes, escapes = b'"' in body, b"\\" in body
    if not quotes and not escapes:
        return body
    if any(mark in body for mark in (_FOREIGN if escapes else _FOREIGN[:1])):
        return None
    if quotes:
        body = _without_texts(body)
    return _hidden(body) if escapes else body


def _without_texts(body: bytes) -> bytes:
    """Nearly always all quotes are those of texts, which a split takes out at half the cost."""
    pieces = body.split(b'"')
    inside = b"".join(pieces[1::2])
    if len(pieces) % 2 and b"\n" not in inside and b"\\" not in inside:
        plain = _MARK.join(pieces[::2])
        raw = np.frombuffer(plain + b"\n", np.uint8)
        places = np.flatnonzero(raw == TEXT)
        if (raw[places - 1] == _EQUALS).all() and _BEHIND_A_TEXT[raw[places + 1]].all():
            return plain
    return _A_TEXT.sub(b"=" + _MARK, body)


def _hidden(body: bytes) -> bytes:
    """The body with what a backslash escapes in disguise."""
    raw = np.frombuffer(bytearray(body), np.uint8)
    places = np.flatnonzero(raw[:-1] == _BACKSLASH) + 1
    raw[places] = np.frombuffer(_ESCAPED, np.uint8)[raw[places]]
    return raw.tobytes()


def put_back(names: list[bytes]) -> list[bytes]:
    """Names as they came, with their escapes."""
    joined = b"\n".join(names)
    return joined.translate(_BACK).split(b"\n") if names and b"\\" in joined else names
