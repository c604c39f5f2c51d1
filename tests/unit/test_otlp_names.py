"""OTLP: which attribute names the device, what becomes a label, and which names make no series."""

import json
from collections import Counter
from typing import Any

import pytest

from ingest.formats import mapping, otlp_names
from ingest.formats.mapping import Mapping
from ingest.formats.otlp_points import Points
from ingest.formats.otlp_series import NAMES
from tests.unit.influx import table
from tests.unit.otlp import HOME, MAPPING, any_value, describe, gauge, histogram, read, request

LABELS = '{"service.name":"plant"}'


@pytest.mark.parametrize(
    ("resource", "attributes", "own", "device", "labels"),
    [
        ({"host.name": "h"}, {"device": "sda"}, None, "sda", {"host.name": "h"}),
        ({"host.name": "h", "service.name": "s"}, {}, None, "h", {"service.name": "s"}),
        ({"host.name": "h", "service.instance.id": "i"}, {}, None, "i", {"host.name": "h"}),
        ({"service.instance.id": "made up", "service.name": "s"}, {}, "mine", "mine", {"service.name": "s"}),
        ({"service.instance.id": "made up"}, {"device_id": "d"}, "mine", "d", {}),
        ({"service.name": "s"}, {}, "mine", "mine", {"service.name": "s"}),
        ({"a": "1", "device": "r"}, {"a": "2", "device": "p"}, None, "p", {"a": "2"}),
        ({"telemetry.x": "x", "process.pid": 7, "device": "r"}, {"process.s": "s"}, None, "r", {"process.s": "s"}),
        ({"device": ""}, {}, "mine", "mine", {"device": ""}),
    ],
)  # fmt: skip
def test_what_names_the_device_and_what_becomes_a_label(
    resource: Any, attributes: Any, own: str | None, device: str, labels: Any
) -> None:
    (row,) = table(read(request(1.0, resource=resource, **attributes), own=own))
    assert (row[0], json.loads(row[2])) == (device, labels)


def test_a_setting_says_which_attributes_become_labels_and_name_the_device() -> None:
    made = request(1.0, resource={"host.name": "h", "process.pid": 7, "os.type": "x"}, device="sda")
    scope = made.resource_metrics[0].scope_metrics[0].scope
    scope.name, scope.version = "meter", "1.2"
    describe(scope, {"lib": "l"})
    (row,) = table(read(made, Mapping(device_tags=("host.name", "device"), dropped=("os.*",))))
    assert (row[0], json.loads(row[2])) == (
        "h",
        {"device": "sda", "lib": "l", "otel.scope.name": "meter", "otel.scope.version": "1.2", "process.pid": "7"},
    )
    assert json.loads(table(read(made))[0][2]) == {"host.name": "h", "lib": "l", "os.type": "x"}


def test_attributes_of_every_kind_become_text() -> None:
    values = {
        "b": True,
        "i": -5,
        "d": 1.5,
        "y": b"\0\xff",
        "l": ["a", 1, None],
        "m": {"k": {"n": False}},
        "s": "ü",
        "e": "",
        "no": None,
    }
    (row,) = table(read(request(1.0, resource={"device": "x"}, **values)))
    assert json.loads(row[2]) == {
        "b": "true", "i": "-5", "d": "1.5", "y": "AP8=", "l": '["a",1,null]', "m": '{"k":{"n":false}}',
        "s": "ü", "e": "",
    }  # fmt: skip


def nested(depth: int) -> Any:
    """A list in a list in a list …"""
    return [nested(depth - 1)] if depth else "x"


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"x": "y" * 257}, "label_invalid"), ({f"l{n}": "x" for n in range(33)}, "too_many_labels"),
        ({"device": "d" * 129}, "name_invalid"), ({"x" * 129: "y"}, "name_invalid"), ({"": "x"}, "name_invalid"),
        ({"x": nested(9)}, "attribute_invalid"), ({f"l{n}": "x" for n in range(257)}, "too_many_attributes"),
        ({"x": ["y"] * 5_000}, "too_many_attributes"), ({"x": "y" * 65_536}, "too_many_attributes"),
    ],
)  # fmt: skip
def test_a_data_point_that_cannot_be_mapped_is_left_out_alone(attributes: Any, code: str) -> None:
    made = request(1.0)
    scope = made.resource_metrics[0].scope_metrics[0]
    gauge(scope, "bad", 2.0, **attributes)
    gauge(scope, "good", 3.0)
    columns = read(made)
    assert [(fault.loc, fault.code) for fault in columns.rejected] == [(("metric", "bad", "data_point", 1), code)]
    assert [row[4] for row in table(columns)] == [1.0, 3.0]
    assert "yyy" not in columns.rejected[0].message
    assert len(columns.series) == 2, "a bad point leaves no series behind"


@pytest.mark.parametrize("count", [20, 256, 257, 5_000])
def test_a_resource_and_a_scope_are_read_once_however_many_series_they_have(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: Counter[str] = Counter()

    def counted(read: Any) -> Any:
        def run(*args: Any) -> Any:
            turns[read.__name__] += 1
            return read(*args)

        return run

    for module, name in ((otlp_names, "_pair"), (mapping, "matches")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    made = request(resource={f"a{n}": "x" for n in range(count)})
    scope = made.resource_metrics[0].scope_metrics[0]
    for number in range(30):
        gauge(scope, f"new {count} {number}", 1.0, device="d")
    columns = read(made)
    fault = "too_many_labels" if count <= 256 else "too_many_attributes"
    assert [each.code for each in columns.rejected] == ([fault] * 30 if count > 32 else [])
    assert turns["_pair"] <= 30 + min(count, 256)
    assert turns["matches"] <= 256 * len(MAPPING.dropped)


def test_names_that_are_none_and_no_device() -> None:
    made = request(1.0, resource={"service.name": "s"})
    gauge(made.resource_metrics[0].scope_metrics[0], "", 2.0, device="d")
    assert [fault.code for fault in read(made).rejected] == ["device_missing", "metric_missing"]
    twice = request(1.0)
    point = twice.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0]
    for _ in range(2):
        point.attributes.add(key="a").value.CopyFrom(any_value("b"))
    assert [fault.code for fault in read(twice).rejected] == ["tag_repeated"]
    made, point = histogram()
    describe(point, {"le": "1"})
    columns = read(made)
    assert (len(columns), [fault.code for fault in columns.rejected]) == (2, ["tag_repeated"])
    raw = request(1.0, room="north").SerializeToString().replace(b"north", b"nor\xffh")
    assert [fault.code for fault in read(raw).rejected] == ["encoding"]


def test_home_is_what_the_other_tests_take_for_granted() -> None:
    assert MAPPING.place([], None, MAPPING.common(HOME)) == ("pump", LABELS)


def test_what_is_remembered_of_a_series_does_not_grow_with_its_resource() -> None:
    took = []
    for size in (1, 200):
        made = request(resource={f"telemetry.{n}": "x" * size for n in range(100)})
        for number in range(50):
            gauge(made.resource_metrics[0].scope_metrics[0], f"of {size} {number}", 1.0, device="d")
        before = NAMES.bytes
        assert len(read(made)) == 50
        took.append(NAMES.bytes - before)
    assert took[1] < took[0] + 5_000


def test_a_resource_and_a_scope_are_told_apart_however_their_bytes_are_parted() -> None:
    points = Points(b"", 1)
    assert len({points.sender(*pair) for pair in ((b"ab", b"c"), (b"a", b"bc"), (b"", b"abc"), (b"abc", b""))}) == 4
