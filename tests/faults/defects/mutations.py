"""The mutations that prove the checker: each breaks one promise, and a trial has to notice it."""

import asyncio
from collections.abc import Iterable

import numpy as np

from alerts.live.board import Board, Reading
from alerts.live.sequence import Sequence as Order
from ingest import newest
from ingest.store import Store
from ingest.writer import Writer
from schemas.columns import Bools, Receipt, Rows
from schemas.events import Event
from schemas.keys import Principal

LEAD_S = 0.05
"""From the early word to the deed."""
FEW = 6
"""Conflicts that are still seen where conflicts are ignored: else PostgreSQL's own keys stop everybody at once."""


def acknowledge_early() -> None:
    """Answer 200 before anything is stored."""
    flush = Writer._flush

    async def hasty(self, lane, group, **more):  # type: ignore[no-untyped-def]
        for waiting in group:
            waiting.answer(Receipt(len(waiting.batch), 0))
        await asyncio.sleep(LEAD_S)
        await flush(self, lane, group, **more)

    Writer._flush = hasty  # type: ignore[method-assign]


def ignore_conflicts() -> None:
    """Take every reading for a new one."""

    find = newest.find_stored

    async def none_stored(connection: newest.Connection, late: Rows, *, replace: bool) -> Bools:
        stored = await find(connection, late, replace=replace)
        return np.zeros(len(late), np.bool_) if len(late) > FEW else stored

    newest.find_stored = none_stored


def ignore_gaps() -> None:
    """Let every event through as it comes, whatever is missing before it."""

    def offer(self: Order, events: Iterable[Event]) -> list[Event]:
        released = [event for event in events if event.offset > self.position]
        for event in released:
            self.position = self.known = event.offset
        return released

    Order.offer = offer  # type: ignore[method-assign]


def ignore_scopes() -> None:
    """Let every key do everything."""
    Principal.has = lambda self, scope: True  # type: ignore[method-assign]
    Principal.may_use = lambda self, device: True  # type: ignore[method-assign]


def publish_early() -> None:
    """Tell of a transition before it is durable."""
    flush = Store.flush

    async def hasty(self, connection, group):  # type: ignore[no-untyped-def]
        screening = self._screening

        class Early:
            """Publishes what was stepped, at once."""

            ready = screening.ready
            screen = staticmethod(screening.screen)

            @staticmethod
            async def step(connection, rows, places):  # type: ignore[no-untyped-def]
                outcome = await screening.step(connection, rows, places)
                screening.committed(outcome)
                await asyncio.sleep(LEAD_S)
                return outcome

            @staticmethod
            def committed(outcome: object) -> None:
                """It was told already."""

        self._screening = Early()
        try:
            return await flush(self, connection, group)
        finally:
            self._screening = screening

    Store.flush = hasty  # type: ignore[method-assign]


def show_stale() -> None:
    """Show a value on dashboards whenever it comes, though a newer one was shown."""
    offer = Board.offer

    def forgetful(self: Board, readings: Iterable[Reading]) -> set[str]:
        for place in self._places.values():
            place.ts = -(1 << 63)
        return offer(self, readings)

    Board.offer = forgetful  # type: ignore[method-assign]


DEFECTS = {
    "acknowledge-early": acknowledge_early,
    "ignore-conflicts": ignore_conflicts,
    "ignore-gaps": ignore_gaps,
    "ignore-scopes": ignore_scopes,
    "publish-early": publish_early,
    "show-stale": show_stale,
}
