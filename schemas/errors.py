"""Everything that can go wrong, as one tree. The docstring of a leaf is the title its sender reads (RFC 9457).

The rule of retrying is part of the contract: 503 says nothing was stored, 504 says that is unknown, and a
device may send the same batch again after either. Bad data is never a 5xx.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

MAX_FAULTS = 20
"""Faults named in one answer; the rest are counted."""

MAX_PROBLEM_BYTES = 4_096
"""A problem document is never larger, whatever was sent."""

MAX_LOC_CHARS = 64
"""A step of a location comes from the input; longer ones are cut."""

Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the input: where, what, and whether the same reading may be sent again later."""

    loc: Loc
    code: str
    message: str
    retryable: bool = False

    def as_json(self) -> dict[str, Any]:
        """The fault as the wire shows it, with no step of its location longer than `MAX_LOC_CHARS`."""
        loc = [step[:MAX_LOC_CHARS] if isinstance(step, str) else step for step in self.loc]
        return {"loc": loc, "code": self.code, "message": self.message, "retryable": self.retryable}


class SluiceError(Exception):
    """The root: an answer that is not a success."""

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, detail: str | None = None, *, retry_after: int | None = None) -> None:
        self.title = (type(self).__doc__ or "").split("\n", 1)[0]
        self.detail = detail
        self.retry_after = retry_after
        super().__init__(detail or self.title)

    def problem(self) -> dict[str, Any]:
        """The members of the problem document."""
        document = {"type": "about:blank", "title": self.title, "status": self.status, "code": self.code}
        return document | ({"detail": self.detail} if self.detail else {})

    def headers(self) -> dict[str, str]:
        """Headers that belong to the answer."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class Malformed(SluiceError):
    """The body is not what its Content-Type and Content-Encoding say."""

    status = 400
    code = "malformed"


class BadHttp(SluiceError):
    """This is not HTTP/1.1 as its standard has it; the connection ends here."""

    status = 400
    code = "bad_http"


class Unauthorized(SluiceError):
    """A valid API key is needed: send it as 'Authorization: Bearer slk_…'."""

    status = 401
    code = "unauthorized"

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="sluice"'}


class TokenExpired(Unauthorized):
    """This token has expired; get another one."""


class Forbidden(SluiceError):
    """This key may not do that."""

    status = 403
    code = "forbidden"


class CsrfMissing(Forbidden):
    """A change that comes with the cookie of a session needs its 'csrf' in the header X-CSRF-Token."""

    code = "csrf"


class NotFound(SluiceError):
    """There is nothing of that name."""

    status = 404
    code = "not_found"


class BodyTooSlow(SluiceError):
    """The body did not arrive in time; send the batch again."""

    status = 408
    code = "body_too_slow"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail, retry_after=retry_after)


class HeadTooSlow(SluiceError):
    """The head of the request did not arrive in time."""

    status = 408
    code = "head_too_slow"


class Conflict(SluiceError):
    """That cannot be done with the thing as it is now."""

    status = 409
    code = "conflict"


class TooLarge(SluiceError):
    """The request is over a limit; split it."""

    status = 413
    code = "too_large"

    def __init__(self, limit: str, value: int) -> None:
        super().__init__(f"the limit {limit} is {value}")
        self.limit, self.value = limit, value

    def problem(self) -> dict[str, Any]:
        return super().problem() | {"limit": self.limit, "value": self.value}


class HeadTooLarge(TooLarge):
    """The URL and the headers of this request are too long."""

    status = 431
    code = "head_too_large"


class UrlTooLong(TooLarge):
    """The URL of this request is too long."""

    status = 414
    code = "url_too_long"


class UnsupportedMediaType(SluiceError):
    """The body is of a kind this route does not read."""

    status = 415
    code = "unsupported_media_type"


class Invalid(SluiceError):
    """The request is well-formed but not valid; nothing of it was stored."""

    status = 422
    code = "invalid"

    def __init__(self, faults: Sequence[Fault], count: int | None = None) -> None:
        super().__init__()
        self.faults = list(faults[:MAX_FAULTS])
        self.count = len(faults) if count is None else count

    def problem(self) -> dict[str, Any]:
        return super().problem() | {"errors": [fault.as_json() for fault in self.faults], "error_count": self.count}


class QuotaExceeded(SluiceError):
    """A quota of this key is used up; wait."""

    status = 429
    code = "quota_exceeded"

    def __init__(self, policy: str, limit: int, retry_after: int) -> None:
        super().__init__(f"the quota '{policy}' of this key is {limit} a second", retry_after=retry_after)
        self.policy, self.limit = policy, limit

    def headers(self) -> dict[str, str]:
        """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers)."""
        return super().headers() | {
            "RateLimit-Policy": f'"{self.policy}";q={self.limit};w=1',
            "RateLimit": f'"{self.policy}";r=0;t={self.retry_after}',
        }


class TooManyFailures(SluiceError):
    """Too many wrong keys came from this address; a valid one is taken at any time."""

    status = 429
    code = "too_many_failures"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail, retry_after=retry_after)


class TooManySessions(SluiceError):
    """This key began too many sessions; use one of them, or wait."""

    status = 429
    code = "too_many_sessions"


class Defect(SluiceError):
    """A defect of ours; whether the batch was stored is unknown, so send it again."""

    status = 500
    code = "defect"


class Unavailable(SluiceError):
    """Nothing was stored; send the same batch again after Retry-After."""

    status = 503
    code = "unavailable"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail, retry_after=retry_after)


class Overloaded(Unavailable):
    """More is waiting than this server takes on; nothing was stored, send it again after Retry-After."""

    code = "overloaded"


class DatabaseAway(Unavailable):
    """PostgreSQL does not answer; nothing was stored, send it again after Retry-After."""

    code = "database_away"


class Unknown(SluiceError):
    """COMMIT was sent but not answered: send the same batch again, what is stored will count as duplicates."""

    status = 504
    code = "commit_unknown"
