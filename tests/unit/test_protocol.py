"""The client protocol: what is a command, and what our answers look like."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.live import protocol
from alerts.live.commands import Command, Connect, Ping, Pong, Refresh, Refused, Subscribe, Unsubscribe
from schemas.events import Event

MALFORMED = Refused(0, protocol.BAD_REQUEST, malformed=True)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ('{"id":1,"connect":{"token":"slk_a_b","name":"js","data":{"x":1}}}', Connect(1, "slk_a_b")),
        ('{"id":1,"connect":{}}', Connect(1, "")),
        ('{"id":2,"subscribe":{"channel":"alerts","flag":1}}', Subscribe(2, "alerts", False, "", 0)),
        (
            '{"id":2,"subscribe":{"channel":"alerts","recover":true,"epoch":"e","offset":7}}',
            Subscribe(2, "alerts", True, "e", 7),
        ),
        (
            '{"id":2,"subscribe":{"channel":"alerts","recover":true,"epoch":"e"}}',
            Subscribe(2, "alerts", True, "e", 0),
        ),
        ('{"id":2,"subscribe":{"channel":"alerts","offset":-1}}', Subscribe(2, "alerts", False, "", -1)),
        ('{"id":3,"unsubscribe":{"channel":"alerts"}}', Unsubscribe(3, "alerts")),
        ('{"id":4,"ping":{}}', Ping(4)),
        ('{"id":4,"refresh":{"token":"a.b.c"}}', Refresh(4, "a.b.c")),
        ('{"id":4,"refresh":{"token":7}}', Refused(4, protocol.BAD_REQUEST, True)),
        ("{}", Pong()),
        ('{"id":5,"publish":{"channel":"alerts","data":{}}}', Refused(5, protocol.NOT_AVAILABLE, False)),
        ('{"id":5,"presence_stats":{"channel":"alerts"}}', Refused(5, protocol.NOT_AVAILABLE, False)),
        ('{"id":6,"dance":{}}', Refused(6, protocol.METHOD_NOT_FOUND, True)),
        ('{"id":7}', Refused(7, protocol.METHOD_NOT_FOUND, True)),
        ('{"id":8,"subscribe":{"channel":7}}', Refused(8, protocol.BAD_REQUEST, True)),
        ('{"id":8,"subscribe":{"channel":"alerts","offset":true}}', Refused(8, protocol.BAD_REQUEST, True)),
        ('{"id":8,"subscribe":{"channel":"alerts","offset":1.5}}', Refused(8, protocol.BAD_REQUEST, True)),
        ('{"id":8,"subscribe":{"channel":"alerts","recover":1}}', Refused(8, protocol.BAD_REQUEST, True)),
        ('{"id":8,"connect":[]}', Refused(8, protocol.BAD_REQUEST, True)),
        ('{"connect":{}}', MALFORMED),
        ('{"id":true,"connect":{}}', MALFORMED),
        ('{"id":-1,"connect":{}}', MALFORMED),
        ("", MALFORMED),
        ("null", MALFORMED),
        ("[]", MALFORMED),
        ("hello", MALFORMED),
        ('{"id":1,"connect":{"token":NaN}}', MALFORMED),
        ("[" * 60_000, MALFORMED),
        ('{"id":' + "9" * 5_000 + ',"connect":{}}', MALFORMED),
        ('{"id":1,"connect":{"token":"\\ud800"}}', MALFORMED),
    ],
)
def test_a_line_is_one_command(line: str, command: Command) -> None:
    assert list(protocol.parse(line)) == [command]


def test_a_frame_holds_several_commands() -> None:
    frame = '{"id":1,"connect":{"token":"t"}}\n{"id":2,"subscribe":{"channel":"alerts"}}\n{}\nrubbish\n'
    assert list(protocol.parse(frame)) == [
        Connect(1, "t"),
        Subscribe(2, "alerts", False, "", 0),
        Pong(),
        MALFORMED,
    ]


def test_a_flood_of_commands_is_read_lazily() -> None:
    commands = protocol.parse("{}\n" * 1_000_000)
    assert next(commands) == Pong()


@given(st.text())
def test_no_text_raises(frame: str) -> None:
    assert all(isinstance(command, Command) for command in protocol.parse(frame))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["channel", "offset", "recover", "token"]), inner),
)


@given(
    st.dictionaries(
        st.sampled_from(["id", "connect", "refresh", "subscribe", "unsubscribe", "ping", "rpc", "x"]), ANYTHING
    )
)
def test_no_object_raises(message: dict[str, Any]) -> None:
    (command,) = protocol.parse(json.dumps(message))
    assert isinstance(command, Command)


def test_publication_and_push() -> None:
    event = Event(131, "pümp 7", {"event": "firing", "alert": {"device": "pümp 7", "value": 81.5}})
    text = protocol.push('alerts:pümp "7"', protocol.publication(event))
    assert text.isascii()
    assert json.loads(text) == {
        "push": {"channel": 'alerts:pümp "7"', "pub": {"offset": 131, "data": event.data}},
    }


@pytest.mark.parametrize(("ttl_s", "expiry"), [(None, {}), (600, {"expires": True, "ttl": 600})])
def test_connect_asks_for_pongs_and_says_when_its_token_expires(ttl_s: int | None, expiry: dict[str, Any]) -> None:
    assert json.loads(protocol.connected(1, "c", "sluice 0", 25, ttl_s)) == {
        "id": 1,
        "connect": {"client": "c", "version": "sluice 0", "ping": 25, "pong": True, **expiry},
    }
    assert json.loads(protocol.refreshed(2, "c", "sluice 0", ttl_s)) == {
        "id": 2,
        "refresh": {"client": "c", "version": "sluice 0", **expiry},
    }


@pytest.mark.parametrize("publications", [[], ['{"offset":8,"data":{}}'], ['{"offset":8,"data":{}}'] * 2])
@pytest.mark.parametrize("recover", [False, True])
def test_subscribed_says_that_it_is_recoverable(publications: list[str], recover: bool) -> None:
    result = {"recoverable": True, "positioned": True, "epoch": "e", "offset": 7}
    if recover:
        result |= {"was_recovering": True, "recovered": True}
    if publications:
        result |= {"publications": [{"offset": 8, "data": {}}] * len(publications)}
    answer = protocol.subscribed(2, "e", 7, recover=recover, recovered=True, publications=publications)
    assert json.loads(answer) == {"id": 2, "subscribe": result}


def test_errors_say_whether_to_try_again() -> None:
    assert json.loads(protocol.error(2, protocol.INTERNAL)) == {
        "id": 2,
        "error": {"code": 100, "message": "internal server error", "temporary": True},
    }
    assert json.loads(protocol.error(2, protocol.PERMISSION_DENIED))["error"]["temporary"] is False


def test_close_reasons_are_plain_text_that_fits_a_close_frame() -> None:
    reasons = [value for value in vars(protocol).values() if isinstance(value, protocol.Disconnect)]
    assert len(reasons) >= 9
    assert all(reason.reason.isascii() and len(reason.reason) <= 123 for reason in reasons)
    reconnecting = {each.code for each in reasons if each.code < 3500}
    assert {3001, 3008, 3010, 3012} <= reconnecting
