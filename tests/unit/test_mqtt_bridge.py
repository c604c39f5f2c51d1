"""The bridge from MQTT without a broker: what an answer means, what it refuses, how often something is said."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from prometheus_client import CollectorRegistry

from ingest.formats import mqtt
from ingest.mqtt.batch import Message, Verdict, judge, message_of
from ingest.mqtt.courier import FIRST_WAIT_S, LONGEST_WAIT_S, Answer, Courier, backoff_s
from ingest.mqtt.metrics import REASONS, BridgeMetrics, reason
from ingest.mqtt.notes import Notes
from ingest.mqtt.window import Held
from schemas.errors import Fault
from tests.unit.mqtt import bridge, count, message


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, Verdict.STORED), (422, Verdict.IN_PART), (400, Verdict.SPLIT), (413, Verdict.SPLIT), (403, Verdict.SPLIT),
     (401, Verdict.HALTED), (404, Verdict.HALTED), (415, Verdict.HALTED), (301, Verdict.HALTED),
     *((status, Verdict.AGAIN) for status in (408, 429, 500, 502, 503, 504, 599))],
)  # fmt: skip
def test_what_an_answer_means(status: int, verdict: Verdict) -> None:
    assert judge(status, partial=False) is verdict
    assert judge(status, partial=True) is (Verdict.SPLIT if status == 422 else verdict)


def test_waiting_grows_within_bounds_and_differs() -> None:
    for attempt in (0, 1, 5, 10_000):
        most = min(FIRST_WAIT_S * 2.0 ** min(attempt, 10), LONGEST_WAIT_S)
        waits = {backoff_s(attempt) for _ in range(20)}
        assert len(waits) > 1
        assert most / 2 <= min(waits) <= max(waits) <= most


def test_what_comes_in_thousands_is_told_seldom(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    notes = Notes(lambda: now[0], every_s=10)
    for second in range(12):
        now[0] = second
        notes.note("a message was refused", "malformed", topic="t" * 500)
        notes.note("a message was refused", "too_large")
    told = [line for line in capsys.readouterr().out.splitlines() if "malformed" in line]
    assert len(told) == 2
    assert "more_since_last=9" in told[1]
    assert "t" * 121 not in told[0]


def test_reasons_are_a_closed_set() -> None:
    assert {reason(each) for each in (*REASONS, "x", "")} == {*REASONS, "other"}


def test_every_metric_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs/clients/mosquitto.md").read_text()
    registry = CollectorRegistry()
    BridgeMetrics(registry)
    for metric in registry.collect():
        name = metric.name + ("_total" if metric.type == "counter" else "")
        assert f"| `{name}` | {metric.documentation} |" in page


class Server:
    """Answers as it is told to, and remembers the devices of every body."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.bad: set[str] = set()
        self.scope = True
        self.first: list[int] = []

    async def answer(self, request: web.Request) -> web.Response:
        """A device in `bad` is refused with the status it is called by."""
        devices = [batch["device"] for batch in await request.json()]
        if not devices:
            return web.json_response({}, status=200 if self.scope else 403)
        self.asked.append(devices)
        if self.first:
            return web.json_response({}, status=self.first.pop(0), headers={"Retry-After": "3"})
        found = sorted(self.bad & set(devices))
        if found and found[0] != "422":
            return web.json_response({"code": "forbidden" if found[0] == "403" else "malformed"}, status=int(found[0]))
        if found and "partial" not in request.query:
            return web.json_response({}, status=422)
        faults = [{"loc": [devices.index("422"), "readings", 0], "code": "ts_too_old"}] if found else []
        return web.json_response({"accepted": len(devices), "rejected": faults, "rejected_count": 3 * len(faults)})


async def deliver(server: Server, *devices: str) -> tuple[dict[str, str], list[float], BridgeMetrics]:
    """What became of a message for each device, the waits, and the counters."""
    app = web.Application()
    app.router.add_post("/v1/readings", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    settled: dict[str, str] = {}
    waits: list[float] = []

    def settle(message: Message, fault: Fault | None) -> None:
        assert message.held.topic not in settled
        settled[message.held.topic] = fault.code if fault else "stored"

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        server.scope = True
        server.bad.discard("halted")

    metrics = BridgeMetrics(CollectorRegistry())
    async with ClientSession() as session:
        courier = Courier(session, site.name, "slk_x", metrics, settle, wait)
        messages = [
            Message(Held(0, 1, name, b"", 0, 0, 0), [json.dumps({"device": name}).encode()], 1) for name in devices
        ]
        await asyncio.wait_for(courier.deliver(messages), 30)
    await runner.cleanup()
    return settled, waits, metrics


async def test_one_bad_message_costs_no_other_and_order_is_kept() -> None:
    server = Server()
    server.bad = {"400", "403"}
    settled, waits, _ = await deliver(server, "a", "b", "400", "c", "403", "d")
    assert settled == {
        "a": "stored",
        "b": "stored",
        "400": "malformed",
        "c": "stored",
        "403": "forbidden",
        "d": "stored",
    }
    assert list(settled) == ["a", "b", "400", "c", "403", "d"]
    assert waits == []


async def test_a_bad_reading_is_left_out_and_the_rest_is_stored_at_once() -> None:
    server = Server()
    server.bad = {"422"}
    settled, _, metrics = await deliver(server, "a", "422", "b")
    assert set(settled.values()) == {"stored"}
    assert len(server.asked) == 2
    assert count(metrics.rejected, reason="ts_too_old") == 1
    assert count(metrics.rejected, reason="other") == 2  # counted by the server, not named
    assert message_of([], 3) is None


async def test_overload_is_waited_out_with_the_same_body() -> None:
    server = Server()
    server.first = [503, 429, 504, 401]
    settled, waits, metrics = await deliver(server, "a", "b")
    assert set(settled.values()) == {"stored"}
    assert server.asked == [["a", "b"]] * 5
    assert min(waits) >= 3
    assert (count(metrics.posts, verdict="again"), count(metrics.posts, verdict="halted")) == (3, 1)


async def test_a_key_without_its_scope_refuses_no_message() -> None:
    server = Server()
    server.first, server.scope = [403], False
    settled, waits, _ = await deliver(server, "a")
    assert (settled, len(waits)) == ({"a": "stored"}, 1)


async def test_a_key_without_its_scope_is_waited_for_however_long() -> None:
    waits: list[float] = []

    class Refusing(Courier):
        async def _post(self, body: bytes, *, partial: bool) -> Answer:
            return Answer(200 if len(waits) == 3_000 else 403, {})

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    settled: list[Fault | None] = []
    async with ClientSession() as session:
        metrics = BridgeMetrics(CollectorRegistry())
        courier = Refusing(session, "", "slk_x", metrics, lambda _, fault: settled.append(fault), wait)
        await courier.deliver([Message(Held(0, 1, "t", b"", 0, 0, 0), [b"{}"], 1)])
    assert settled == [None]
    assert waits[0] <= FIRST_WAIT_S < LONGEST_WAIT_S / 2 <= waits[-1] <= LONGEST_WAIT_S


async def test_where_nobody_answers_it_tries_again() -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise TimeoutError

    async with ClientSession() as session:
        metrics = BridgeMetrics(CollectorRegistry())
        courier = Courier(session, "http://127.0.0.1:9", "slk_x", metrics, lambda *_: None, wait)
        with pytest.raises(TimeoutError):
            await courier.deliver([Message(Held(0, 1, "t", b"", 0, 0, 0), [b"{}"], 1)])
    assert len(waits) == 3


async def test_what_is_refused_at_its_delivery_is_counted_and_not_held() -> None:
    one, metrics = bridge(2)
    one._take(message(b"\xff"))
    one._take(message(b"t", retain=True))
    assert (count(metrics.refused, reason="topic"), count(metrics.refused, reason="retained")) == (1, 1)
    assert len(one._window) == 0
    assert one._batch() == []


async def test_a_defect_of_the_decoder_costs_its_message_and_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, metrics = bridge(2)

    def broken(payload: bytes, *_: object) -> None:
        raise TypeError(f"a defect, met by {payload!r}")

    monkeypatch.setattr(mqtt, "decode", broken)
    one._take(message(b"sensors/p/t"))
    assert one._batch() == []
    assert (len(one._window), count(metrics.refused, reason="malformed")) == (0, 1)
    assert "Traceback" in (told := capsys.readouterr().out)
    assert "a defect, met by b'1'" in told


async def test_quality_0_is_dropped_where_there_is_no_room_and_counted() -> None:
    one, metrics = bridge(1)
    for _ in range(5):
        one._take(message(b"sensors/p/t", qos=0))
    assert (len(one._window), count(metrics.dropped), count(metrics.received, qos="0")) == (2, 3, 5)
    assert [each.readings for each in one._batch()] == [1, 1]


async def test_only_what_the_broker_calls_a_redelivery_is_known_again() -> None:
    one, metrics = bridge(10)
    one._take(message(b"sensors/p/t"))
    one._take(message(b"sensors/p/t", dup=True))
    assert (len(one._window), count(metrics.redelivered)) == (1, 1)
    one._take(message(b"sensors/p/t"))
    assert (len(one._window), count(metrics.redelivered)) == (2, 1)
