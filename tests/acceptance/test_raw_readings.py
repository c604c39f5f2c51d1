"""Contract §4 through a real server: raw readings as pages and as streams, buckets, and what is refused."""

import asyncio
import csv
import gzip
import io
import json
import re
import time
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import zstandard

from load.bench import proc
from tests.conftest import Server

NOW_MS = time.time_ns() // 1_000_000 // 86_400_000 * 86_400_000 - 43_200_000  # yesterday's noon
ODD = [-0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e16, -1e-7, 123456789012345680.0, 21.5]
MANY = "INSERT INTO runs SELECT $1, t, t + interval '31.9 s', o.o, o.v FROM (SELECT array_agg(k * 100000) AS o, " \
    "array_agg(k / 7.0::float8) AS v FROM generate_series(0, 319) k) o, " \
    "generate_series($2::timestamptz, $2::timestamptz + $3::int * interval '32 s', interval '32 s') t"  # fmt: skip


async def get(server: Server, path: str, key: str | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and the body as it came, still compressed."""
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(
            server.url + path, headers={**server.headers(key), "Accept-Encoding": "identity", **headers}
        ) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


async def store_many(server: Server, runs: int) -> int:
    """Readings of `flood` of `big`, 320 a run, by SQL; returns how many."""
    await server.write({"device": "big", "readings": [{"ts": NOW_MS - 1_000, "metric": "flood", "value": 0}]})
    [[series]] = await server.fetch("SELECT id FROM series WHERE device = 'big'")
    start = (await server.fetch("SELECT to_timestamp($1::float8)", NOW_MS / 1_000))[0][0]
    await server.fetch(MANY, series, start, runs - 1)
    return runs * 320 + 1


async def test_pages_streams_and_buckets_give_back_what_was_sent(shared_server: Server) -> None:
    server = shared_server
    ts = [NOW_MS + 250 * place for place in range(len(ODD))]
    await server.write({"device": "a/b", "ts": ts, "values": {"m": ODD}, "labels": {"site": 'x"y,z'}})
    ask = f"/v1/readings?device={quote('a/b', safe='')}&metric=m"
    _, first = await server.call("GET", f"{ask}&limit=5&from={ts[0]}")
    _, rest = await server.call("GET", f"{ask}&limit=5&cursor={first['next']}")
    shown = first["items"] + rest["items"]
    assert ([item["value"].hex() for item in shown], rest["next"]) == ([value.hex() for value in ODD], None)
    assert set(shown[0]) == {"ts", "value"}
    _, back = await server.call("GET", f"{ask}&order=desc&limit=1000")
    assert back["items"] == shown[::-1]
    for coding, opened in (("identity", bytes), ("gzip", gzip.decompress), ("zstd", unpacked)):
        status, headers, body = await get(server, ask, Accept="text/csv", **{"Accept-Encoding": coding})
        assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/csv")
        assert headers.get("Content-Encoding", "identity") == coding
        assert "Content-Length" not in headers
        rows = list(csv.DictReader(io.StringIO(opened(body).decode())))
        assert [(row["ts"], float(row["value"]).hex()) for row in rows] == [(i["ts"], i["value"].hex()) for i in shown]
    _, _, body = await get(server, f"{ask}&order=desc&limit=3", Accept="application/x-ndjson;q=0.9, text/csv;q=0.1")
    assert [json.loads(line) for line in body.splitlines()] == shown[::-1][:3]
    await server.write({"device": "a/b", "ts": ts[:1], "values": {"m": [7.5]}, "labels": {"site": "B"}})
    _, _, body = await get(server, f"{ask}&limit=2", Accept="text/csv")
    assert [(row["value"], json.loads(row["labels"])) for row in csv.DictReader(io.StringIO(body.decode()))] == [
        ("-0.0", {"site": 'x"y,z'}),
        ("7.5", {"site": "B"}),
    ]
    _, _, body = await get(server, f"{ask}&limit=2", Accept="application/x-ndjson")
    assert [json.loads(line)["labels"]["site"] for line in body.splitlines()] == ['x"y,z', "B"]
    assert (await server.call("GET", f"{ask}&labels.site=B"))[1]["items"] == [{"ts": shown[0]["ts"], "value": 7.5}]
    series = ask.replace("readings", "series") + f"&from={NOW_MS}&to={NOW_MS + 60_000}&bucket_s=1"
    _, answer = await server.call("GET", f"{series}&agg=first,last,count")
    assert [(each["first"], each["last"], each["count"]) for each in answer["buckets"]] == [
        (-0.0, 0.1, 5),
        (1e16, 21.5, 4),
    ]
    _, answer = await server.call("GET", f"{series}&labels.site=B")
    assert answer == {"buckets": [{"ts": shown[0]["ts"], "avg": 7.5, "min": 7.5, "max": 7.5, "count": 1}]}
    for path in (ask, series):
        assert (await server.call("GET", path + "&labels.site=C"))[1] in ({"items": [], "next": None}, {"buckets": []})
    _, _, body = await get(server, ask.replace("metric=m", "metric=none"), Accept="text/csv")
    assert body == b"ts,value\n"


async def test_a_link_names_one_series_and_asks_for_a_file(shared_server: Server) -> None:
    """What a browser cannot say in headers; a series whose labels are part of another's is asked for by `exact`."""
    server, device = shared_server, "b/ü"
    for value, labels in ((1.0, {}), (2.0, {"site": "B"}), (3.0, {"site": "B", "line": "1"})):
        await server.write({"device": device, "ts": [NOW_MS], "values": {"m": [value]}, "labels": labels})
    ask = f"/v1/readings?device={quote(device, safe='')}&metric=m&exact=true"
    for query, value in (("", 1.0), ("&labels.site=B", 2.0), ("&labels.line=1&labels.site=B", 3.0)):
        (item,) = (await server.call("GET", ask + query))[1]["items"]
        assert (item["value"], "labels" in item) == (value, False)
        series = ask.replace("readings", "series") + f"{query}&from={NOW_MS}&agg=sum"
        assert [each["sum"] for each in (await server.call("GET", series))[1]["buckets"]] == [value]
        _, headers, body = await get(server, f"{ask}{query}&format=csv", Accept="text/html")
        assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''b%2F%C3%BC%20m.csv"
        assert body.decode().splitlines()[1].endswith(f",{value}")
    assert (await server.call("GET", ask + "&labels.line=1"))[1]["items"] == []
    _, headers, _ = await get(server, f"{ask}&format=json", Accept="text/csv")
    assert headers["Content-Type"] == "application/json"


def unpacked(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


BAD = [
    "from=1795428000124&to=1795428000123", "from=2026-11-20T10:00:00", "from=2026-11-20T10:00:00+01:00", "from=17",
    "to=x", "from=99999999999999999999", "limit=0", "limit=1e9", "limit=10001", "order=pg_sleep(1)", "order=",
    "cursor=x", "cursor=MTc", "cursor=IjEi", "cursor=Ii0xLzEi", "metric=a*", "labels.=x", "labels.a=%00",
    "labels.a=1&labels.a=2",
]  # fmt: skip
BAD_SERIES = [
    "bucket_s=0", "bucket_s=x", "bucket_s=1e3", "agg=median", "agg=", "agg=avg,", "agg=avg,pg_sleep(1)", "metric=",
    "from=2000-01-01T00:00:00Z", "to=2000-01-01T00:00:00Z", "from=",
]  # fmt: skip


async def test_what_is_refused_and_in_which_order(shared_server: Server) -> None:
    server = shared_server
    for name in ("pump-1", "room-1"):
        await server.write({"device": name, "readings": [{"ts": NOW_MS, "metric": "m", "value": 1}]})
    bound = await server.key("read", device_glob="pump-?")
    ingest = await server.key("ingest")
    raw, series = "/v1/readings?device={}&metric=m&", f"/v1/series?device={{}}&metric=m&from={NOW_MS}&to={NOW_MS}&"
    for path, queries in ((raw, BAD), (series, BAD_SERIES)):
        for query in queries:
            for accept in ("application/json", "text/csv"):
                name = query.partition("=")[0]
                asked = re.sub(rf"&{name}=[^&]*", "", path.format("pump-1")) + query
                status, headers, body = await get(server, asked, Accept=accept)
                assert (status, headers["Content-Type"]) == (422, "application/problem+json"), (query, body)
                assert len(body) <= 4_096
                assert json.loads(body)["errors"][0]["loc"][0] == "query"
        for bad in ("", "limit=x&bucket_s=x"):
            assert (await get(server, path.format("pump-1") + bad, key="slk_x"))[0] == 401
            assert (await get(server, path.format("pump-1") + bad, key=ingest))[0] == 403
        assert (await get(server, path.format("unknown")))[0] == 404
        assert (await get(server, path.format("unknown"), Accept="text/csv"))[0] == 404
        assert (await get(server, path.format("%00")))[0] == 404
        assert (await get(server, path.format("pump-1"), key=bound))[0] == 200
        for name in ("room-1", "unknown"):
            assert (await get(server, path.format(name), key=bound))[0] == 403, "told apart"
    status, _, body = await get(server, raw.format("pump-1") + "from=2026-11-20T10:00:00+01:00")
    assert b"%2B" in body


async def test_a_device_s_slash_is_not_the_path_s(shared_server: Server) -> None:
    server = shared_server
    for name, value in (("x", 1.0), ("x/latest", 2.0)):
        await server.write({"device": name, "readings": [{"ts": NOW_MS, "metric": "m", "value": value}]})
    assert (await server.call("GET", "/v1/devices/x%2Flatest"))[1]["device"] == "x/latest"
    assert (await server.call("GET", "/v1/devices/x/latest"))[1]["metrics"]["m"]["value"] == 1.0
    assert (await server.call("GET", "/v1/devices/x%2Flatest/latest"))[1]["metrics"]["m"]["value"] == 2.0
    assert (await server.call("DELETE", "/v1/devices/x%2Flatest"))[0] == 204
    assert (await server.call("GET", "/v1/devices/x%2Flatest"))[0] == 404
    assert (await server.call("GET", "/v1/devices/x/latest"))[0] == 200


async def metrics(server: Server, name: str) -> float:
    """A figure of `/metrics`, over all its labels."""
    _, _, body = await get(server, "/metrics")
    lines = [line for line in body.decode().splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def until_open(server: Server, count: int, patience_s: float = 10) -> None:
    """Wait until no more streams than that are open."""
    deadline = time.monotonic() + patience_s
    while await metrics(server, "sluice_streams_open") > count:
        assert time.monotonic() < deadline, "a stream stays open"
        await asyncio.sleep(0.05)


def memory(server: Server) -> float:
    """MB of the workers at their peak."""
    return max(proc.memory(pid)["peak"] for pid in server.supervisor.pids)


async def test_streams_end_with_their_clients_and_take_little_memory(start_server: Any) -> None:
    server: Server = await start_server(workers=1, max_streams=2)
    count = await store_many(server, 2_500)
    ask = f"{server.url}/v1/readings?device=big&metric=flood"
    accept = server.headers() | {"Accept": "text/csv"}
    await get(server, "/v1/readings?device=big&metric=flood&limit=10000", Accept="text/csv")
    for pid in server.supervisor.pids:
        proc.forget_peak(pid)
    before = memory(server)
    async with aiohttp.ClientSession(read_bufsize=1 << 14) as http:
        slow = await http.get(ask, headers=accept)
        gone = await http.get(ask, headers=accept)
        assert await gone.content.readline() == b"ts,value\n"
        async with http.get(ask, headers=accept) as third:
            assert (third.status, (await third.json(content_type=None))["code"]) == (503, "too_many_queries")
            assert third.headers["Retry-After"] == "5"
        assert (await server.call("GET", "/v1/devices/big/latest"))[0] == 200, "a stream that waits is in the way"
        await asyncio.sleep(0.5)  # for what would be read ahead of the slow one
        assert memory(server) - before < 30, "a slow reader fills the memory"
        gone.close()  # in mid-stream
        await until_open(server, 1)
        lines, previous = 0, ""
        async for line in slow.content:
            lines += 1
            moment = line.decode().partition(",")[0]
            assert lines == 1 or moment > previous
            previous = moment if lines > 1 else ""
        assert lines == count + 1
    await until_open(server, 0)
    assert memory(server) - before < 60
    assert await metrics(server, "sluice_streams_broken_total") == 1


async def test_a_stream_that_breaks_is_seen_to(shared_server: Server) -> None:
    server = shared_server
    await store_many(server, 2_000)
    for coding in ("identity", "gzip"):
        headers = server.headers() | {"Accept": "application/x-ndjson", "Accept-Encoding": coding}
        async with aiohttp.ClientSession(read_bufsize=1 << 14) as http:
            answer = await http.get(f"{server.url}/v1/readings?device=big&metric=flood", headers=headers)
            assert (answer.status, await answer.content.readexactly(10)) == (200, b'{"ts":"202')
            await server.fetch("ALTER TABLE runs RENAME TO runs_away")
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
            await server.fetch("ALTER TABLE runs_away RENAME TO runs")
    await until_open(server, 0)
    assert await metrics(server, "sluice_streams_broken_total") == 2
