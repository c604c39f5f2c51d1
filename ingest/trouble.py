"""What a driver's exception means for the sender: said here, and only here, for the write path."""

import asyncpg

from schemas.errors import DatabaseAway, SluiceError, Unavailable, Unknown

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Everything by which a database that is away, closing or refusing makes itself known."""

_COLLISION = {"40001", "40P01"}  # serialization failure, deadlock: nobody's fault, unseen by the sender
_LOST = ("08", "57P")  # connection exception; the server is shutting down or starting up


def is_transient(error: Exception) -> bool:
    """Whether the same group may simply be tried once more: a deadlock, or a backend that was killed."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return is_collision(error) or state.startswith(_LOST)
    return isinstance(error, ConnectionError | asyncpg.InterfaceError)


def is_collision(error: Exception) -> bool:
    """Whether it was ended in favour of somebody else, as a deadlock is: the next try is as good as the first."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _COLLISION


def is_poison(error: Exception) -> bool:
    """Whether a value in the group is at fault (SQLSTATE class 22), so that only its batch must fail."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith("22")


def is_locked(error: Exception) -> bool:
    """Whether somebody held a lock for longer than we wait: of one series, most often."""
    return isinstance(error, asyncpg.LockNotAvailableError)


def is_missing_partition(error: Exception) -> bool:
    """Whether a row found no partition: 23514, which `readings` and `runs` have no other reason to raise."""
    return isinstance(error, asyncpg.CheckViolationError)


def before_commit(error: Exception) -> SluiceError:
    """Nothing was stored, as COMMIT was never sent."""
    if isinstance(error, asyncpg.PostgresError) and not (error.sqlstate or "").startswith(_LOST):
        return Unavailable(f"PostgreSQL refused the batch ({error.sqlstate})")
    return DatabaseAway()


def after_commit(error: Exception) -> SluiceError:
    """COMMIT was sent: only PostgreSQL's own word, that of a server that lives on, says that it rolled back."""
    dying = getattr(error, "severity_en", None) in ("FATAL", "PANIC")  # the record of COMMIT may be on the disk
    if isinstance(error, asyncpg.PostgresError) and not dying and not (error.sqlstate or "").startswith(_LOST):
        return Unavailable(f"PostgreSQL rolled back ({error.sqlstate})")
    return Unknown()
