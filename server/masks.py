"""Secrets, kept out of all that is written down: log lines, tracebacks, what the commands print."""

import json
import re
from collections.abc import Iterable
from typing import Self
from urllib.parse import unquote

from pydantic import SecretStr

from server.settings import Settings

MASK = "***"
MIN_LITERAL_CHARS = 8  # a shorter password may be a word of its own, as 'sluice' is, which lines are full of

# Each is linear in the text, which a sender may have a part in: what is repeated is never given back (`*+`).
_KEY = re.compile(r"slk_([a-z0-9]++)_[A-Za-z0-9_-]++")
_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]++\.[A-Za-z0-9_.-]++")  # a JWT
_HEADER = re.compile(r"\b(bearer|basic|token) +[A-Za-z0-9+/=._~-]{16,}+", re.IGNORECASE)
_OPTION = re.compile(r"[?&](?:sentinel_|ssl_?)?+password=([^&#]++)")
_URL = re.compile(r"(https?+)?+://([^\s\"'<>\\]*+)")
_SHOWN = re.compile(
    r"(?P<scheme>[a-z+]+)://(?:(?P<user>[^:/?#@]*)(?::[^/?#@]*)?@)?(?P<place>[^@?#]*)(?:\?[^@#]*)?", re.IGNORECASE
)


class Masks:
    """Takes out what looks like a secret, and what is known to be one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        kept = sorted((each for each in spellings if len(each) >= MIN_LITERAL_CHARS), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, kept))) if kept else None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Masks that know every secret of the settings: keys, and the passwords in URLs."""
        found = []
        for name in Settings.model_fields:
            value = getattr(settings, name)
            if isinstance(value, SecretStr):
                found += [value.get_secret_value(), *_passwords(value.get_secret_value())]
        return cls(found)

    def __call__(self, text: str) -> str:
        """The text without secrets. Of an http URL only the host is left: targets keep their secrets in its path."""
        if self._known:
            text = self._known.sub(MASK, text)
        text = _KEY.sub(rf"slk_\1_{MASK}", text)
        text = _TOKEN.sub(MASK, text)
        text = _HEADER.sub(rf"\1 {MASK}", text)
        return _URL.sub(_masked_url, text)


def shown(secret: str) -> str:
    """A secret setting, for an operator to recognise: a URL without its password, and nothing of anything else."""
    found = _SHOWN.fullmatch(secret)
    if found is None:  # also a URL with a password that is not encoded: where it ends is anybody's guess
        return MASK
    user = "" if found["user"] is None else f"{found['user']}:{MASK}@"
    return f"{found['scheme']}://{user}{found['place']}"


def _masked_url(found: re.Match[str]) -> str:
    scheme, rest = found[1] or "", found[2]
    who, at, place = rest.rpartition("@")
    if at:
        user = re.split("[:/?#]", who, maxsplit=1)[0]
        place = f"{user}:{MASK}@{place}"
    host, end, _ = _cut(place, "/?#" if scheme else "?#")
    return f"{scheme}://{host}{end and end + MASK}"


def _cut(text: str, marks: str) -> tuple[str, str, str]:
    """The text before the first of these marks, the mark, and what is behind it."""
    place = min((at for mark in marks if (at := text.find(mark)) >= 0), default=len(text))
    return text[:place], text[place : place + 1], text[place + 1 :]


def _passwords(url: str) -> list[str]:
    """The passwords in a URL, as they are written there: before its hosts, however many, and as options."""
    authority = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
    return [authority.rpartition("@")[0].partition(":")[2], *_OPTION.findall(url)]


def _spellings(secret: str) -> set[str]:
    """A secret as it may turn up: decoded, in JSON, in a Python literal."""
    plain = {secret, unquote(secret)}
    return plain | {json.dumps(each)[1:-1] for each in plain} | {repr(each)[1:-1] for each in plain}
