"""What the bridge from MQTT holds: known again after a cut, bounded, never acknowledged for another message."""

from ingest.mqtt.window import HELD_BYTES, SHARES, Held, Window


def take(
    window: Window, mid: int, payload: bytes = b"1", qos: int = 1, now_us: int = 5, *, again: bool = False
) -> Held | None:
    """A message is delivered."""
    return window.take(mid, qos, "t", payload, now_us, 0.0, again=again)


def test_no_two_messages_have_the_same_time() -> None:
    window = Window(10, 10**6)
    held = [take(window, mid) for mid in (1, 2, 3)]
    times = [each.arrived_us for each in held if each]
    assert sorted(set(times)) == times
    assert len(times) == 3


def test_what_was_not_acknowledged_is_known_again_with_its_time() -> None:
    window = Window(10, 10**6)
    window.connected(session_present=False)
    waiting, stored = take(window, 1), take(window, 2)
    assert waiting
    assert stored
    window.connected(session_present=True)
    assert not window.settle(stored)  # on this connection its number was not heard of yet
    assert take(window, 1, again=True) is None
    assert take(window, 2, again=True) is stored
    assert [len(window), stored.settled, window.settle(stored), window.settle(waiting)] == [1, True, True, True]
    for held in (waiting, stored):
        window.acknowledged(held)
    assert take(window, 1, now_us=99, again=True) is not waiting


def test_a_number_that_is_given_anew_means_another_message_though_it_looks_the_same() -> None:
    window = Window(10, 10**6)
    window.connected(session_present=False)
    waiting, stored = take(window, 1), take(window, 2)
    assert waiting
    assert stored
    window.settle(stored)
    window.connected(session_present=True)  # the broker gave both to another bridge of the group meanwhile
    new = [take(window, 1), take(window, 2)]
    assert new[0] not in {None, waiting}
    assert new[1] not in {None, stored}
    assert len(window) == 3
    assert not window.settle(waiting), "whose number is another's now"
    assert [window.settle(held) for held in new if held] == [True, True]


def test_where_the_broker_forgot_the_session_its_numbers_mean_other_messages() -> None:
    window = Window(10, 10**6)
    window.connected(session_present=True)
    old = take(window, 1)
    window.connected(session_present=False)
    new = take(window, 1, again=True)  # looks the same
    assert old is not new
    assert old
    assert new
    assert not window.settle(old)
    assert window.settle(new)
    other = take(window, 2, b"a")
    assert take(window, 2, b"b", again=True) is not other


def test_quality_0_is_never_acknowledged() -> None:
    window = Window(10, 10**6)
    one, two = take(window, 0, qos=0), take(window, 0, qos=0)
    assert one
    assert two
    assert one is not two
    assert not window.settle(one)


def test_the_window_is_bounded_by_number_and_by_bytes() -> None:
    window = Window(2, 10**6)
    held = [take(window, 1), take(window, 2)]
    assert window.is_full
    assert held[0]
    window.settle(held[0])
    assert (window.is_full, window.has_room) == (False, True)
    window = Window(100, 10_000)
    one = take(window, 1, b"x" * 10_000)
    assert (window.is_full, window.bytes) == (True, 10_000 + 2 + HELD_BYTES)
    assert one
    window.settle(one)
    assert (window.bytes, window.has_room) == (0, True)


def test_two_bridges_never_give_two_messages_the_same_time() -> None:
    windows = [Window(1_000, 10**6, name) for name in ("one", "other")]
    times = [
        held.arrived_us
        for number in range(300)
        for window in windows
        if (held := window.take(number, 1, "sensors/plain/n", b"1", 1_000_000 + number, 0.0, again=False)) is not None
    ]
    assert len(set(times)) == 600
    assert max(times) < 1_000_000 + 300 * SHARES + SHARES
