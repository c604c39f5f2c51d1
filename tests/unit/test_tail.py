"""The newest events in memory: complete after its `after`, and bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.live import tail
from alerts.live.tail import Tail
from schemas.events import Event


def events(first: int, last: int, text: str = "") -> list[Event]:
    """Consecutive events, of a device that their offset names."""
    return [Event(offset, f"pump-{offset % 2}", {"text": text}) for offset in range(first, last + 1)]


def test_what_is_after_an_offset() -> None:
    held = Tail(10)
    held.remember(events(11, 20))
    assert held.since(9, 5) is None, "the tenth is not here"
    assert [each.offset for each in held.since(10, 100) or []] == list(range(11, 21))
    assert [each.offset for each in held.since(13, 3) or []] == [14, 15, 16]
    assert [each.offset for each in held.since(13, 3, "pump-0") or []] == [14, 16, 18]
    assert held.since(20, 5) == []


@given(st.integers(0, 50), st.lists(st.integers(1, 40), max_size=20), st.integers(0, 3))
def test_nothing_is_missing_after_its_after(position: int, batches: list[int], holes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "MAX_EVENTS", 30)
        patch.setattr(tail, "BLOCK", 8)
        held, delivered = Tail(position), []
        for count in batches:
            position += holes  # offsets that are not in the table, and never will be
            batch = events(position + 1, position + count)
            held.remember(batch)
            delivered += [event.offset for event in batch]
            position += count
            assert len(held) <= 30
            assert held.after <= position
            shown = [each.offset for each in held.since(held.after, 10_000) or []]
            assert shown == [offset for offset in delivered if offset > held.after]


def test_it_is_bounded_in_bytes() -> None:
    held = Tail(0)
    held.remember(events(1, 1_000, "x" * 10_000))
    assert 100 < len(held) < 420
    assert held.after % tail.BLOCK == 0
    held.remember(events(1_001, 1_001, "x" * tail.MAX_BYTES))
    assert (len(held), held.after) == (0, 1_001), "one that is too large alone is read from the table"
