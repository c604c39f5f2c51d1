"""Carries one notification to its target, signed, within a deadline, and says what came of it."""

import asyncio
import contextlib
import email.utils
import errno
import hmac
import ipaddress
import json
import socket
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp

MAX_ANSWER_BYTES = 64 << 10
MAX_RETRY_AFTER_S = 3_600.0
RETRYABLE = {408, 425, 429}  # besides 5xx


class Verdict(StrEnum):
    """What has to be done about a delivery after an attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt."""

    verdict: Verdict
    error: str | None = None
    retry_after_s: float = 0.0
    """What the target asked for."""


@dataclass(frozen=True, slots=True)
class CourierSettings:
    """How notifications are sent."""

    external_url: str = ""
    """Where people reach this installation, without a slash at the end."""
    deadline_s: float = 10.0
    """From connecting to the end of the answer."""
    allow_private: bool = True
    """Whether targets may lie at loopback, private and link-local addresses."""


class Courier:
    """Sends requests. Connections are kept for a moment only: on an old one a request may be lost unnoticed."""

    def __init__(self, settings: CourierSettings) -> None:
        self.settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, offset: int, document: dict[str, Any], key: bytes) -> Outcome:
        """POST the document. Whatever the target or the network does is an outcome, not an exception."""
        body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "sluice",
            "X-Sluice-Event": str(offset),
            "X-Sluice-Timestamp": str(timestamp),
            "X-Sluice-Signature": sign(key, timestamp, body),
        }
        try:
            async with self._open().post(url, data=body, headers=headers, allow_redirects=False) as response:
                outcome = judge(response.status, response.headers.get("Retry-After"))
                # An answer that breaks off after its status is an answer; one that goes on for ever is cut.
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    await _read(response)
                return outcome
        except aiohttp.InvalidURL:
            return Outcome(Verdict.DEAD, "not a URL")
        except TimeoutError:
            return Outcome(Verdict.RETRY, f"no answer within {self.settings.deadline_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Outcome(Verdict.RETRY, _without_url(error))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            factory = None if self.settings.allow_private else _public_socket
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=2, socket_factory=factory),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self.settings.deadline_s),
                auto_decompress=False,
            )
        return self._session


def sign(key: bytes, timestamp: int, body: bytes) -> str:
    """The value of `X-Sluice-Signature`; `timestamp` is in seconds since the Unix epoch."""
    return "sha256=" + hmac.new(key, f"{timestamp}.".encode() + body, "sha256").hexdigest()


def judge(status: int, retry_after: str | None) -> Outcome:
    """What an answer means: what may pass is tried again, what will not is given up, as Alertmanager does."""
    if 200 <= status < 300:
        return Outcome(Verdict.DELIVERED)
    if status in RETRYABLE or status >= 500:
        return Outcome(Verdict.RETRY, f"HTTP {status}", _seconds(retry_after))
    note = " (redirects are not followed)" if 300 <= status < 400 else ""
    return Outcome(Verdict.DEAD, f"HTTP {status}{note}")


def _seconds(retry_after: str | None) -> float:
    """`Retry-After`, as seconds or as a date; 0 where it is missing or means nothing."""
    if retry_after is None:
        return 0.0
    if retry_after.isdecimal():
        return min(float(retry_after[:9]), MAX_RETRY_AFTER_S)
    try:
        wait_s = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(wait_s, 0.0), MAX_RETRY_AFTER_S)


async def _read(response: aiohttp.ClientResponse) -> None:
    """Read the answer, so that its connection can be used again, unless it is longer than anybody needs."""
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            response.close()
            return
        await asyncio.sleep(0)


def _public_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket, for an address out in the world only: names that lead inside are refused after they were resolved."""
    family, kind, protocol, _, target = address
    host = ipaddress.ip_address(target[0].partition("%")[0])
    host = getattr(host, "ipv4_mapped", None) or host
    if host.is_multicast or not host.is_global:
        raise PermissionError(errno.EACCES, "a private address, which SLUICE_WEBHOOK_ALLOW_PRIVATE forbids")
    return socket.socket(family, kind, protocol)


def _without_url(error: Exception) -> str:
    """What went wrong, in words that never hold the URL, in which targets keep their secrets."""
    words = [type(error).__name__]
    if isinstance(error, OSError) and error.strerror:
        words.append(error.strerror)
    return ": ".join(words)[:200]
