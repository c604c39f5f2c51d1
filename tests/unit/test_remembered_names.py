"""What a decoder remembers of names: bounded, and told."""

import pytest

from ingest.formats import names
from ingest.formats.mapping import UnmappableError
from ingest.formats.names import Names
from schemas.columns import SeriesKey
from tests.unit.influx import TERMS


def test_names_are_read_once_and_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_REMEMBERED_BYTES", 5_000)
    read: list[str] = []

    def series(key: str, _: object) -> SeriesKey:
        read.append(key)
        return SeriesKey(key, "m", "{}")

    remembered: Names[str] = Names(len)
    for number in range(30):
        assert remembered.learn(str(number), TERMS, series).device == str(number)
        assert remembered.bytes <= 5_000
        assert remembered.known(TERMS)[str(number)].device == str(number)
    assert len(read) == 30
    assert remembered.forgotten >= 2


def test_keys_that_never_send_a_good_name_are_bounded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_REMEMBERED_BYTES", 5_000)
    remembered: Names[str] = Names(len)
    for number in range(30):
        assert remembered.known(TERMS.__class__(TERMS.bounds, 0, TERMS.mapping, f"device {number}")) == {}
    assert remembered.forgotten >= 2


def test_names_that_cannot_be_mapped_are_read_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_REMEMBERED_BYTES", 5_000)
    remembered: Names[str] = Names(len)
    turns: list[str] = []

    def refuse(key: str, _: object) -> SeriesKey:
        turns.append(key)
        raise UnmappableError("code", "message")

    for _ in range(2):
        with pytest.raises(UnmappableError, match="message") as caught:
            remembered.learn("x", TERMS, refuse)
        assert caught.value.code == "code"
    assert turns == ["x"]
    assert not remembered.known(TERMS)
    for number in range(30):
        with pytest.raises(UnmappableError):
            remembered.learn(str(number), TERMS, refuse)
        assert remembered.bytes <= 5_000
    assert remembered.forgotten >= 2


def test_senders_of_more_names_than_fit_still_find_half_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MAX_REMEMBERED_BYTES", 50_000)
    remembered: Names[str] = Names(len)
    turns: list[str] = []

    def series(key: str, _: object) -> SeriesKey:
        turns.append(key)
        return SeriesKey(key, "m", "{}")

    for number in [*range(150)] * 20:
        if str(number) not in remembered.known(TERMS):
            remembered.learn(str(number), TERMS, series)
    assert len(turns) < 150 * 20 * 0.6, "a cache that forgets all, or what was asked for longest ago, finds none"


def test_names_as_long_as_a_body_are_not_remembered() -> None:
    remembered: Names[str] = Names(len)
    remembered.learn("x", TERMS, lambda key, _: SeriesKey(key, "m"))
    remembered.learn("y" * (9 << 20), TERMS, lambda _, __: SeriesKey("y", "m"))
    assert list(remembered.known(TERMS)) == ["x"]
