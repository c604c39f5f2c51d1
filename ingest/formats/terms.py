"""What a decoder of a foreign protocol has to know besides the body, and what it makes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.formats.mapping import Mapping
from ingest.formats.times import Bounds
from schemas.columns import Columns


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms one body is read."""

    bounds: Bounds
    arrived_us: int
    """When the request arrived, microseconds since the Unix epoch: the time of readings that bring none."""
    mapping: Mapping = field(default_factory=Mapping)
    own_device: str | None = None
    """The device that the sender's key is bound to, where that is exactly one."""


Decode = Callable[[bytes, Terms], Columns]
"""A decoder, with what the head of the request said bound to it already.

What is wrong with single readings goes to `Columns.rejected`, what are no readings is counted in `Columns.skipped`.
Raises Malformed and TooLarge, and Invalid where nothing of it can be read.
"""
