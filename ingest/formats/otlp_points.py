"""Readings of an OTLP request while it is read: of what they are, as it lies there, and what else came along."""

from collections import Counter
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.columns import Float64s
from schemas.errors import MAX_LOC_CHARS, Fault, Loc, TooLarge

MAX_REMEMBERED_BOUNDS = 2_048  # bytes, of one histogram: 256 bounds, where most have a dozen
_DIGEST_BYTES = 32  # what others send must not be found by trying
_DOUBLE = 0x21  # tag of the value of a number that is no integer


class Place(NamedTuple):
    """What a reading is of, without the attributes of its data point: as it lies in the request."""

    sender: bytes = b""
    """Of resource and scope a digest: each key of a request has them, and most of its bytes would be these."""
    metric: bytes = b""
    part: str = ""
    """`count`, `bucket` and the like of a metric that is more than a number."""
    label: str = ""
    value: str = ""
    """And the label that only this part has, and its value: `le` and `0.5`."""


class Key(NamedTuple):
    """What makes a series."""

    place: Place
    attributes: bytes


class Points:
    """The n readings of a request, of k distinct keys, `most` at most."""

    def __init__(self, body: bytes, most: int) -> None:
        self.body, self.most = body, most
        self.keys: list[Key] = []
        self.codes: list[int] = []
        """(n,) the place of its key in `keys`."""
        self.numbers: list[int] = []
        """(n,) of which data point it is, from 0."""
        self.places: list[int] = []
        """(n,) where its time lies in the body, with its value behind it; -1 where it was read already."""
        self.count = 0
        """Data points that were looked at."""
        self.faults: list[Fault] = []
        """One for each data point of which nothing can be stored, as far as reading shows."""
        self.skipped = 0
        """What came along and is no reading."""
        self.notes: Counter[str] = Counter()
        """Of that, what the sender should hear of, with how much of it there was."""
        self.senders: dict[bytes, tuple[bytes, bytes]] = {}
        """Resource and scope, by their digest."""
        self._seen: dict[Place, dict[bytes, int]] = {}
        self._times: list[int] = []
        self._values: list[float] = []

    def begin(self) -> None:
        """One data point more. Raises TooLarge."""
        self.count += 1
        self.check()

    def sender(self, resource: bytes, scope: bytes) -> bytes:
        """The digest of what sends the points that come next."""
        digest = blake2b(blake2b(resource).digest() + scope, digest_size=_DIGEST_BYTES).digest()
        self.senders[digest] = resource, scope
        return digest

    def seen(self, place: Place) -> dict[bytes, int]:
        """The keys that are known of this place, by their attributes."""
        return self._seen.setdefault(place, {})

    def add_key(self, place: Place, attributes: bytes, seen: dict[bytes, int]) -> int:
        """A key that is not in `seen` yet."""
        code = seen[attributes] = len(self.keys)
        self.keys.append(Key(place, attributes))
        return code

    def add(self, place: Place, attributes: bytes, time: int, value: float) -> None:
        """A reading of the last data point. Raises TooLarge."""
        seen = self.seen(place)
        code = seen.get(attributes)
        self.codes.append(self.add_key(place, attributes, seen) if code is None else code)
        self.numbers.append(self.count - 1)
        self.places.append(-1)
        self._times.append(time)
        self._values.append(value)
        self.check()

    def fault(self, metric: bytes, code: str, message: str) -> None:
        """The last data point has a fault."""
        self.faults.append(Fault(location(metric, self.count - 1), code, message))

    def skip(self, what: str = "", count: int = 1) -> None:
        """Leave something out, and say so where there is something to say."""
        self.skipped += count
        if what:
            self.notes[what] += count

    def columns(self) -> tuple[NDArray[np.uint64], Float64s]:
        """(n,) times in nanoseconds since the Unix epoch, 0 where there is none, and (n,) values."""
        places = np.array(self.places, np.int64)
        quick = places >= 0
        time, value = np.empty(len(places), np.uint64), np.empty(len(places), np.float64)
        if quick.any():
            cut = np.frombuffer(self.body, np.uint8)[places[quick][:, None] + np.arange(1, 18)]
            time[quick] = np.ascontiguousarray(cut[:, :8]).view("<u8")[:, 0]
            bits = np.ascontiguousarray(cut[:, 9:])
            value[quick] = np.where(cut[:, 8] == _DOUBLE, bits.view("<f8")[:, 0], bits.view("<i8")[:, 0])
        time[~quick], value[~quick] = self._times, self._values
        return time, value

    def check(self) -> None:
        """Raises TooLarge."""
        if max(len(self.codes), self.count) + self.skipped > self.most:
            raise TooLarge("readings", self.most)


def location(metric: bytes, number: int) -> Loc:
    """Where a data point is: its metric, and how many there are before it in the request."""
    return ("metric", metric[: 4 * MAX_LOC_CHARS].decode(errors="replace")[:MAX_LOC_CHARS], "data_point", number)


def number_text(number: float) -> str:
    """A bound or a quantile as a label has it: `0.5`, `10`, `+Inf`."""
    if number == float("inf"):
        return "+Inf"
    return repr(number).removesuffix(".0")


def bound_texts(bounds: bytes) -> list[str] | None:
    """The labels `le` of the buckets that lie below these bounds, and of the last one; None: they do not ascend."""
    return _remembered_texts(bounds) if len(bounds) <= MAX_REMEMBERED_BOUNDS else _bound_texts(bounds)


def _bound_texts(bounds: bytes) -> list[str] | None:
    numbers = np.frombuffer(bounds, "<f8")
    if not (np.isfinite(numbers).all() and (np.diff(numbers) > 0).all()):
        return None
    return [*map(number_text, numbers.tolist()), "+Inf"]


_remembered_texts = lru_cache(maxsize=256)(_bound_texts)
"""Each takes up to 20 KiB: 5 MiB in all."""
