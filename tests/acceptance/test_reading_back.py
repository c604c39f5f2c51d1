"""Contract §4 as far as it goes: devices, series, newest values, pages, what a bound key sees; and the SQL view."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Server

NOW_MS = time.time_ns() // 1_000_000


async def store(server: Server, device: str, values: dict[str, list[float]], **more: Any) -> None:
    """Store columns of readings, one a second up to now."""
    count = len(next(iter(values.values())))
    ts = [NOW_MS - 1_000 * (count - 1 - place) for place in range(count)]
    status, answer = await server.write({"device": device, "ts": ts, "values": values} | more)
    assert (status, answer["duplicates"]) == (200, 0), answer


def text(milliseconds: int) -> str:
    """As times go out."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


async def test_devices_by_pages_without_gap_or_double(running_server: Server) -> None:
    names = sorted([f"pump-{number:02}" for number in range(23)] + ["Zebra", "a_b", "axb", "100%", "日本", "é/ü"])
    for name in names:
        await store(running_server, name, {"m": [1.0]})
    for limit in (1, 7, 29, 30, 1_000):
        seen: list[str] = []
        cursor = ""
        while True:
            _, page = await running_server.call(
                "GET", f"/v1/devices?limit={limit}" + (f"&cursor={cursor}" if cursor else "")
            )
            assert len(page["items"]) <= limit
            seen += [item["device"] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert seen == names, limit
    for prefix in ("pump-1", "a_", "100%", "日", "z", ""):
        _, page = await running_server.call("GET", f"/v1/devices?limit=1000&prefix={quote(prefix)}")
        assert [item["device"] for item in page["items"]] == [name for name in names if name.startswith(prefix)]


async def test_a_device_and_what_is_known_of_it(shared_server: Server) -> None:
    await store(shared_server, "known-7", {"temperature": [1.0, 2.5], "running": [1.0, 0.0]})
    _, page = await shared_server.call("GET", "/v1/devices?prefix=known")
    (item,) = page["items"]
    assert (item["device"], item["metrics"]) == ("known-7", 2)
    assert item["first_seen"] <= item["last_seen"]
    assert item["first_seen"].endswith("Z")
    status, device = await shared_server.call("GET", "/v1/devices/known-7")
    assert (status, device["device"]) == (200, "known-7")
    assert [(series["metric"], series["labels"]) for series in device["series"]] == [
        ("running", {}),
        ("temperature", {}),
    ]
    status, latest = await shared_server.call("GET", "/v1/devices/known-7/latest")
    assert (status, latest) == (
        200,
        {
            "device": "known-7",
            "metrics": {
                "running": {"ts": text(NOW_MS), "value": 0.0},
                "temperature": {"ts": text(NOW_MS), "value": 2.5},
            },
        },
    )


async def test_series_of_a_device_come_by_pages(shared_server: Server) -> None:
    for site in ("B", "A"):
        values = {name: [1.0] for name in ("m/3", "m1", "m2")}
        await store(shared_server, "paged-7/latest", values, labels={"site": site})
    name = quote("paged-7/latest", safe="")
    _, whole = await shared_server.call("GET", f"/v1/devices/{name}")
    assert [item["metric"] for item in whole["series"]] == ["m/3"] * 2 + ["m1"] * 2 + ["m2"] * 2
    assert whole["next"] is None
    for limit in (1, 3, 5, 6):
        seen: list[Any] = []
        cursor = ""
        while cursor is not None:
            path = f"/v1/devices/{name}?limit={limit}{cursor and f'&cursor={cursor}'}"
            _, page = await shared_server.call("GET", path)
            assert len(page["series"]) <= limit
            seen += page["series"]
            cursor = page["next"]
        assert seen == whole["series"], limit
    for cursor in ("IjEi", "Ii9hIg", "IjEyMzQ1Njc4OTAxMi9hIg", "MTc"):  # no place, and one beyond any series
        assert (await shared_server.call("GET", f"/v1/devices/{name}?cursor={cursor}"))[0] == 422


async def test_latest_of_a_device_of_very_many_series_is_asked_by_metric(shared_server: Server) -> None:
    await store(shared_server, "broad-7", {"m": [1.0], "n": [2.0]})
    await shared_server.fetch(
        "WITH made AS (INSERT INTO series (device, metric) SELECT 'broad-7', 'x' || n FROM generate_series(1, 9999) n "
        "RETURNING id) INSERT INTO newest (series_id, ts_us) SELECT id, 1 FROM made"
    )
    status, answer = await shared_server.call("GET", "/v1/devices/broad-7/latest")
    assert (status, answer["errors"][0]["code"]) == (422, "too_many_series")
    status, answer = await shared_server.call("GET", "/v1/devices/broad-7/latest?metric=n&metric=nothing")
    assert (status, list(answer["metrics"])) == (200, ["n"])
    status, answer = await shared_server.call("GET", "/v1/devices/broad-7/latest?metric=nothing")
    assert (status, answer["metrics"]) == (200, {})


async def test_latest_of_several_label_sets_carries_their_labels(shared_server: Server) -> None:
    for site in ("A", "B"):
        await store(shared_server, "labelled-7", {"m": [float(ord(site))]}, labels={"site": site})
    _, latest = await shared_server.call("GET", "/v1/devices/labelled-7/latest")
    items = sorted(latest["metrics"]["m"], key=lambda item: str(item["labels"]["site"]))
    assert items == [
        {"ts": text(NOW_MS), "value": 65.0, "labels": {"site": "A"}},
        {"ts": text(NOW_MS), "value": 66.0, "labels": {"site": "B"}},
    ]


@pytest.mark.parametrize("name", ["é/ü", "a b", "100%", "<img onerror=x>", "'; DROP TABLE readings; --", "a#b"])
async def test_a_name_in_a_path_is_percent_encoded(shared_server: Server, name: str) -> None:
    await store(shared_server, name, {"m": [1.0]})
    for path in ("", "/latest"):
        status, answer = await shared_server.call("GET", f"/v1/devices/{quote(name, safe='')}{path}")
        assert (status, answer["device"]) == (200, name)


async def test_unknown_devices_are_404(shared_server: Server) -> None:
    for name in ("unknown", "%00", "%ff", "a%0Ab", "x" * 129, "%20a"):
        for path in ("", "/latest"):
            status, answer = await shared_server.call("GET", f"/v1/devices/{name}{path}")
            assert (status, answer["status"]) == (404, 404), name


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=1e9", "limit=x", "cursor=x", "cursor=!!!", "cursor=Ilx1ZDgwMCI", "cursor=MTc",
     "prefix=%00", f"prefix={'x' * 129}"],
)  # fmt: skip
async def test_bad_parameters_are_422(shared_server: Server, query: str) -> None:
    status, answer = await shared_server.call("GET", f"/v1/devices?{query}")
    assert (status, answer["status"], answer["error_count"]) == (422, 422, 1)


async def test_a_bound_key_sees_its_own_devices_only(shared_server: Server) -> None:
    for name in ("own-1", "own-2", "ownX1", "other-1", "xown-1"):
        await store(shared_server, name, {"m": [1.0]})
    key = await shared_server.key("read", device_glob="own-?")
    seen, cursor = [], ""
    for _ in range(2):
        _, page = await shared_server.call("GET", f"/v1/devices?limit=1{cursor}", key=key)
        seen += [item["device"] for item in page["items"]]
        cursor = f"&cursor={page['next']}"
    assert seen == ["own-1", "own-2"]
    assert page["next"] is None
    for path in ("", "/latest"):
        assert (await shared_server.call("GET", f"/v1/devices/own-1{path}", key=key))[0] == 200
        for name in ("other-1", "xown-1", "unknown"):
            assert (await shared_server.call("GET", f"/v1/devices/{name}{path}", key=key))[0] == 403, "told apart"


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Every node of a plan."""
    return [plan] + [node for below in plan.get("Plans", []) for node in nodes(below)]


def scans_of(explained: str, table: str) -> dict[str, str]:
    """How the plan reads each partition of a table: what kind of node."""
    plan = nodes(json.loads(explained)[0]["Plan"])
    return {
        str(node["Relation Name"]): str(node["Node Type"])
        for node in plan
        if str(node.get("Relation Name", "")).startswith(f"{table}_2")
    }


async def test_sql_uses_the_index_and_reads_only_the_partitions_it_needs(running_server: Server) -> None:
    day, quarter = 86_400_000, 900_000
    noon = NOW_MS // day * day - day // 2  # of yesterday
    for days in range(6):
        at = noon - days * day
        plain = [{"ts": at - place * quarter, "metric": "plain", "value": place} for place in range(40)]
        packed = [{"ts": at - place * 1_000, "metric": "packed", "value": place} for place in range(500)]
        assert (await running_server.write({"device": "pump-7", "readings": plain + packed}))[0] == 200
        # Many other series, as in life: in a small table no planner would use an index.
        moment = datetime.fromtimestamp(at / 1_000, UTC)
        await running_server.fetch(
            "INSERT INTO readings SELECT s, $1::timestamptz - n * interval '1 s', n "
            "FROM generate_series(1000, 1100) AS s, generate_series(1, 200) AS n",
            moment,
        )
        await running_server.fetch(
            "INSERT INTO runs SELECT s, $1::timestamptz - n * interval '1 s', $1::timestamptz - n * interval '1 s', "
            "'{0}', '{1}' FROM generate_series(1000, 1100) AS s, generate_series(1, 200) AS n",
            moment,
        )
    await running_server.fetch("INSERT INTO devices (name) SELECT 'other-' || n FROM generate_series(1, 3000) AS n")
    await running_server.fetch(
        "INSERT INTO series (device, metric) SELECT 'other-' || n, 'm' FROM generate_series(1, 3000) AS n"
    )
    await running_server.fetch("ANALYZE")
    since, until = noon - 100_000, noon + 1
    yesterday = f"{datetime.fromtimestamp(noon / 1_000, UTC):%Y%m%d}"
    view = "EXPLAIN (FORMAT JSON, ANALYZE) SELECT ts, value FROM telemetry WHERE device = 'pump-7' AND metric = '{}' "
    [[explained]] = await running_server.fetch(view.format("plain") + f"AND ts >= '{text(since)}'")
    assert min(scans_of(explained, "readings")) == f"readings_{yesterday}", "older partitions are not touched"
    assert "Index" in scans_of(explained, "readings")[f"readings_{yesterday}"]
    assert "series_identity" in explained
    [[explained]] = await running_server.fetch(view.format("packed") + f"AND ts >= '{text(since)}'")
    assert all("Index" in kind for name, kind in scans_of(explained, "runs").items() if name <= f"runs_{yesterday}")
    # The function is opaque to EXPLAIN, so its text is explained, with the same arguments.
    [[body]] = await running_server.fetch("SELECT pg_get_functiondef('telemetry_between'::regproc)")
    select = body[body.index("SELECT") : body.rindex("END")].rstrip().rstrip(";")
    arguments = {"device": "'pump-7'::text", "metric": "'packed'::text"}
    arguments |= {'"from"': f"'{text(since)}'::timestamptz", '"to"': f"'{text(until)}'::timestamptz"}
    for name, value in arguments.items():
        select = select.replace(f"telemetry_between.{name}", value)
    [[explained]] = await running_server.fetch(f"EXPLAIN (FORMAT JSON, ANALYZE) {select}")
    assert set(scans_of(explained, "runs")) == {f"runs_{yesterday}"}
    assert "Index" in scans_of(explained, "runs")[f"runs_{yesterday}"]
    for metric, count in (("plain", 1), ("packed", 101)):
        bounds = datetime.fromtimestamp(since / 1_000, UTC), datetime.fromtimestamp(until / 1_000, UTC)
        found = await running_server.fetch(
            "SELECT count(*) FROM telemetry_between('pump-7', $1, $2, $3)", metric, *bounds
        )
        assert found[0][0] == count
