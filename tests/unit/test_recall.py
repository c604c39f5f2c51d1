"""What is believed of a credential, and for how long: on a clock of the test's own, with a PostgreSQL of its own."""

import asyncio
from collections.abc import Mapping

import pytest

from schemas.errors import DatabaseAway
from server import recall
from server.recall import AWAY_S, BUSY_S, CACHED_S, MAX_ASKING, Recall


class Postgres:
    """Knows names, and answers, refuses, or is silent, to all or to some."""

    def __init__(self, *known: str) -> None:
        self.now = 1_000.0
        self.known = dict.fromkeys(known, "good")
        self.away = False
        self.silent: set[str] = set()
        self.speaks = asyncio.Event()
        self.asked: list[str] = []
        self.recall = Recall(self.find, lambda: self.now, asyncio.Semaphore(MAX_ASKING))

    async def find(self, names: list[str]) -> Mapping[str, str]:
        self.asked += names
        if self.away:
            raise OSError("away")
        if self.silent & set(names):
            await self.speaks.wait()
        return {name: self.known[name] for name in names if name in self.known}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for by the real clock."""
    for name in ("SILENCE_S", "ASKING_S", "REFRESH_WITHIN_S"):
        monkeypatch.setattr(recall, name, 0.05)
    monkeypatch.setattr(recall, "PATIENCE_S", 0.5)


async def test_strangers_take_no_place_of_the_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "MAX_CACHED", 3)
    monkeypatch.setattr(recall, "MAX_STRANGERS", 2)
    postgres = Postgres("a", "b", "c")
    for name in ("a", "b", "c", *"uvwxyz"):
        await postgres.recall.get(name)
    postgres.asked.clear()
    assert [await postgres.recall.get(name) for name in "abc"] == ["good"] * 3
    assert postgres.asked == []
    assert (len(postgres.recall.held), len(postgres.recall.strangers)) == (3, 2)


async def test_a_name_is_in_one_place_only() -> None:
    postgres = Postgres("a")
    assert await postgres.recall.get("a") == "good"
    postgres.known = {"b": "good"}
    assert await postgres.recall.get("b") == "good"
    postgres.now += CACHED_S + 1
    assert await postgres.recall.get("a") is None
    assert (set(postgres.recall.held), set(postgres.recall.strangers)) == ({"b"}, {"a"})
    postgres.known["a"] = "good"
    postgres.now += CACHED_S + 1
    assert await postgres.recall.get("a") == "good"
    assert not postgres.recall.strangers


async def test_the_known_do_not_wait_behind_strangers() -> None:
    postgres = Postgres("a")
    await postgres.recall.get("a")
    postgres.now += CACHED_S + 1
    postgres.silent = set("uvwxyz")
    strangers = [asyncio.create_task(postgres.recall.get(name)) for name in "uvwxyz"]
    await asyncio.sleep(0)
    postgres.known = {}
    assert await postgres.recall.get("a") is None, "it was revoked, and nobody asked"
    outcomes = await asyncio.gather(*strangers, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {DatabaseAway}


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "refusing"])
async def test_postgres_is_away_only_if_it_answers_nobody(silent: bool) -> None:
    postgres = Postgres("a", "b")
    await postgres.recall.get("a")
    await postgres.recall.get("b")
    if silent:
        postgres.silent = {"a", "b"}
    else:
        postgres.away = True
    postgres.now += AWAY_S - 1
    if silent:
        with pytest.raises(DatabaseAway):
            await postgres.recall.get("a")  # it may only be slow; who asks next knows more
    assert await postgres.recall.get("a") == "good", "nobody can tell: it is believed"
    postgres.now += 2
    with pytest.raises(DatabaseAway):
        await postgres.recall.get("a")


async def test_postgres_is_not_away_for_being_slow() -> None:
    postgres = Postgres("a")
    await postgres.recall.get("a")
    postgres.now += BUSY_S + 1
    postgres.known, postgres.silent = {}, {"a"}
    asking = asyncio.create_task(postgres.recall.get("a"))
    await asyncio.sleep(recall.SILENCE_S * 1.5)
    postgres.speaks.set()
    assert await asking is None, "it was revoked long ago"


async def test_whose_question_fails_while_others_are_answered_is_not_believed_for_long() -> None:
    postgres = Postgres("a", "b")
    await postgres.recall.get("a")
    postgres.silent = {"a"}
    postgres.now += BUSY_S - 1
    asking = asyncio.create_task(postgres.recall.get("a"))
    await asyncio.sleep(0)
    postgres.now += 0.5
    await postgres.recall.get("b")
    assert await asking == "good"
    postgres.now += 1
    asking = asyncio.create_task(postgres.recall.get("a"))
    await asyncio.sleep(0)
    postgres.now += 0.1
    await postgres.recall.get("c")
    with pytest.raises(DatabaseAway):
        await asking


async def test_what_is_kept_fresh_is_believed_longer_only_while_postgres_is_away() -> None:
    postgres = Postgres("a", "b")
    await postgres.recall.get("a")
    postgres.now += CACHED_S - 1
    postgres.away = True
    await postgres.recall.refresh(["a"])
    postgres.now += 2
    assert postgres.recall.recent("a") is not None
    postgres.away, postgres.silent = False, {"a"}
    refreshing = asyncio.create_task(postgres.recall.refresh(["a"]))
    await asyncio.sleep(0)
    postgres.now += 0.1
    await postgres.recall.get("b")
    await refreshing
    postgres.now += 2
    assert postgres.recall.recent("a") is None
