"""The quick reader of remote write: a TimeSeries that is labels and then one sample, as Prometheus sends each.

Labels are not read here, but cut out as the bytes they are; samples are taken apart whole columns at a time. What it
reads, the strict reader reads alike; where it does not recognise a request, it leaves all of it to that one.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from schemas.columns import Float64s, Int64s

_TAG = 0x0A  # field 1, bytes: a TimeSeries of the request, a Label of that
_SAMPLE, _SAMPLE_OF_0 = b"\x12\x10\x09", b"\x12\x07\x10"  # and what begins behind them: the value; the time
_SIZE, _SIZE_OF_0 = 18, 9  # bytes of a whole field with a sample: a value of 0 is left out
_TIME = 6  # bytes of its varint from 1971 to 2109


@dataclass(slots=True)
class Samples:
    """The n samples of a request, not yet mapped to series."""

    heads: list[bytes]
    """The labels of each, as the wire has them."""
    value: Float64s
    time: Int64s
    """Milliseconds."""
    place: Int64s
    """Which TimeSeries of the request, from 0."""
    skipped: int = 0
    """Histograms and exemplars."""


def read_quick(body: bytes, known: Collection[bytes]) -> Samples | None:
    """The samples of a request in which every TimeSeries is labels and then one sample; None: it is not so."""
    heads: list[bytes] = []
    ends: list[int] = []
    zeros: list[int] = []
    position, whole = 0, len(body)
    try:
        while position < whole:
            size, start = body[position + 1], position + 2
            if size >= 0x80:
                size += (body[start] << 7) - 0x80
                start += 1
            if body[position] != _TAG or size > 0x3FFF:
                return None
            position = start + size
            if size > _SIZE and body[position - 18 : position - 15] == _SAMPLE:
                heads.append(body[start : position - 18])
            elif size > _SIZE_OF_0 and body[position - 9 : position - 6] == _SAMPLE_OF_0:
                zeros.append(len(heads))
                heads.append(body[start : position - 9])
            else:
                return None
            ends.append(position)
    except IndexError:
        return None
    if position != whole or not all(head in known or _is_labels(head) for head in dict.fromkeys(heads)):
        return None
    return _taken(body, heads, np.array(ends, np.int64), zeros)


def _taken(body: bytes, heads: list[bytes], ends: Int64s, zeros: list[int]) -> Samples | None:
    """Values and times of samples of which each ends here; None where one is not of the common length."""
    if not heads:
        return None
    tails = np.frombuffer(body, np.uint8)[ends[:, None] + np.arange(-15, 0)]  # value, tag, time
    time = tails[:, -_TIME:]
    if (tails[:, 8] != 0x10).any() or (time[:, :-1] < 0x80).any() or (time[:, -1] >= 0x80).any():
        return None
    value = tails[:, :8].copy().view("<f8")[:, 0].astype(np.float64, copy=False)
    value[zeros] = 0.0
    millis = (time & 0x7F).astype(np.int64) @ (1 << np.arange(0, 7 * _TIME, 7))
    return Samples(heads, value, millis, np.arange(len(heads)))


def _is_labels(head: bytes) -> bool:
    """Whether these bytes are whole fields, all of them labels."""
    position = 0
    try:
        while position < len(head):
            size, start = head[position + 1], position + 2
            if size >= 0x80:
                size += (head[start] << 7) - 0x80
                start += 1
            if head[position] != _TAG or size > 0x3FFF:
                return False
            position = start + size
    except IndexError:
        return False
    return position == len(head)
