"""The intake: bytes of bodies that are on their way in, over all connections of a worker."""

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import Overloaded


class Share:
    """What one body has taken of the intake."""

    def __init__(self, intake: "Intake") -> None:
        self._intake = intake
        self.bytes = 0

    def cover(self, size: int) -> None:
        """Take as much more as makes it `size` bytes. Raises Overloaded."""
        if size > self.bytes:
            self._intake.take(size - self.bytes, beside=self.bytes)
            self.bytes = size


class Intake:
    """Bounds what slow or many senders can make a worker hold before anything of it can be decoded."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.bytes = 0
        """Taken, and not given back yet."""

    def take(self, size: int, *, beside: int = 0) -> None:
        """Take bytes, `beside` so many that the same body took before. Raises Overloaded.

        Where nothing is taken by others, any size may be: one body has a limit of its own.
        """
        if self.bytes > beside and self.bytes + size > self._max_bytes:
            raise Overloaded(f"bodies of {self.bytes} bytes are on their way already")
        self.bytes += size

    def give(self, size: int) -> None:
        """Give bytes back."""
        self.bytes -= size

    @contextmanager
    def share(self) -> Iterator[Share]:
        """A share that is given back when it is left."""
        share = Share(self)
        try:
            yield share
        finally:
            self.give(share.bytes)
