"""What the rooms know of traces: that some requests have a span, and where the time between went."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class Traces(Protocol):
    """Makes spans, of what was asked to be traced only. Where tracing is off there is none of it: None."""

    def current(self) -> object | None:
        """The span that the caller is in; None where it is not recorded."""

    def group(self, requests: Sequence[object], rows: int) -> AbstractContextManager[None]:
        """Be in the span of a group: a child of the first of these spans, linked to all."""

    def stages(self, seconds: Mapping[str, float]) -> None:
        """What has just been done, one thing after the other, as children of the span that the caller is in."""

    def span(self, name: str, **facts: int | str) -> AbstractContextManager[None]:
        """Be in a child of the span that the caller is in; in none where that is not recorded."""
