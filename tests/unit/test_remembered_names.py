"""What a decoder remembers of names: bounded, and told."""

import pytest

from ingest.formats import names
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
