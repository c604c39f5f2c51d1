"""The order of events: whatever is heard, in whatever order and however often, comes out once and ascending."""

from hypothesis import given
from hypothesis import strategies as st

from alerts.live.message import MAX_EVENTS, Message
from alerts.live.sequence import Sequence
from schemas.events import Event


def event(offset: int) -> Event:
    return Event(offset, "pump-1", {"event": "firing", "n": offset})


def offsets(events: list[Event]) -> list[int]:
    return [each.offset for each in events]


def test_what_is_next_is_let_through() -> None:
    sequence = Sequence(5)
    assert offsets(sequence.offer([event(6), event(7)])) == [6, 7]
    assert (sequence.position, sequence.behind) == (7, False)


def test_doubles_are_dropped() -> None:
    sequence = Sequence(5)
    sequence.offer([event(6), event(7)])
    assert sequence.offer([event(5), event(6), event(7), event(6)]) == []
    assert (sequence.position, sequence.held) == (7, 0)


def test_what_is_beyond_a_gap_waits_for_it() -> None:
    sequence = Sequence(5)
    assert sequence.offer([event(8), event(7)]) == []
    assert sequence.behind
    assert offsets(sequence.offer([event(6)])) == [6, 7, 8]
    assert not sequence.behind


def test_the_table_fills_a_gap_and_frees_what_waited() -> None:
    sequence = Sequence(5)
    sequence.offer([event(9), event(10)])
    assert offsets(sequence.fill([event(6), event(7), event(8)], 8)) == [6, 7, 8, 9, 10]
    assert (sequence.position, sequence.behind, sequence.held) == (10, False, 0)


def test_a_fill_that_was_overtaken_delivers_nothing_twice() -> None:
    sequence = Sequence(5)
    sequence.offer([event(6), event(7), event(8)])
    assert sequence.fill([event(6), event(7)], 7) == []
    assert sequence.position == 8


def test_an_offset_the_table_does_not_have_is_not_waited_for() -> None:
    sequence = Sequence(5)
    assert offsets(sequence.fill([event(6), event(9)], 10)) == [6, 9]
    assert sequence.position == 10


def test_a_heartbeat_tells_that_something_is_missing() -> None:
    sequence = Sequence(5)
    sequence.hear_of(7)
    assert sequence.behind
    assert offsets(sequence.fill([event(6), event(7)], 7)) == [6, 7]
    assert not sequence.behind


def test_what_the_table_never_got_is_forgotten() -> None:
    sequence = Sequence(5)
    sequence.offer([event(9)])
    sequence.fill([event(6)], 6)
    sequence.trust_table(known=9)
    assert (sequence.position, sequence.behind, sequence.held) == (6, False, 0)


def test_what_was_heard_during_the_read_is_not_forgotten() -> None:
    sequence = Sequence(5)
    sequence.hear_of(6)
    sequence.offer([event(9)])  # while the table was being read with `known` 6
    sequence.fill([event(6)], 6)
    sequence.trust_table(known=6)
    assert (sequence.behind, sequence.held) == (True, 1)


def test_memory_is_bounded_and_nothing_is_lost_by_it() -> None:
    sequence = Sequence(0, max_held=10)
    sequence.offer([event(offset) for offset in range(2, 1_000)])
    assert sequence.held == 10
    everything = sequence.offer([event(1)])
    assert offsets(everything) == list(range(1, 12))
    assert sequence.behind
    assert offsets(sequence.fill([event(offset) for offset in range(12, 1_000)], 999)) == list(range(12, 1_000))


@given(st.data(), st.integers(1, 60), st.integers(0, 8))
def test_every_offset_comes_out_once_in_order(data: st.DataObject, last: int, max_held: int) -> None:
    """Messages lost, doubled and shuffled; fills from a table that holds any prefix, at any time."""
    sequence, out = Sequence(0, max_held), []
    for _ in range(data.draw(st.integers(0, 20))):
        if data.draw(st.booleans()):
            out += sequence.offer(map(event, data.draw(st.lists(st.integers(1, last), max_size=10))))
        else:
            after, known = sequence.position, sequence.known
            head = data.draw(st.integers(known, last))  # what is known was committed
            page = [event(offset) for offset in range(after + 1, head + 1)]
            if data.draw(st.booleans()):  # heard while the table was being read
                out += sequence.offer(map(event, data.draw(st.lists(st.integers(1, last), max_size=5))))
            out += sequence.fill(page, head)
            sequence.trust_table(known)
        assert offsets(out) == list(range(1, sequence.position + 1))
        assert sequence.held <= max_held
    out += sequence.fill([event(offset) for offset in range(sequence.position + 1, last + 1)], last)
    assert offsets(out) == list(range(1, last + 1))


def test_messages_survive_the_bus() -> None:
    message = Message("e", 7, [Event(8, "pümp", {"alert": {"value": 1.5, "labels": {}}})])
    assert Message.parse(message.encode()) == message
    assert Message.parse(Message("e", 7).encode()) == Message("e", 7)


def test_rubbish_on_the_bus_is_no_message() -> None:
    for payload in (b"", b"{}", b"\xff", b"[" * 10_000, b'{"epoch":1,"position":2,"events":[]}'):
        assert Message.parse(payload) is None


def test_many_events_make_several_messages() -> None:
    events = [event(offset) for offset in range(1, 2 * MAX_EVENTS + 2)]
    messages = list(Message.split("e", 0, events))
    assert [len(message.events) for message in messages] == [MAX_EVENTS, MAX_EVENTS, 1]
    assert [each for message in messages for each in message.events] == events
