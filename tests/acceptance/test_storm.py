"""A storm: two thousand series break within a second, over two workers. Nothing is lost, and groups stay bounded.

What a storm costs those who send meanwhile is for `load.storm` to measure, and for no test.
"""

import asyncio
import json
import re
import time
from collections import Counter

import aiohttp

from tests.acceptance.dashboard import dashboards
from tests.conftest import Server, StartServer

DEVICES = 100
METRICS = 20
SERIES = DEVICES * METRICS
CONNECTIONS = 40
FLUSH_ROWS = 500
RULE = {
    "name": "Too much",
    "device": "storm-*",
    "metric": "*",
    "condition": {"type": "threshold", "levels": [{"severity": "critical", "above": 80}]},
}
PATIENCE_S = 60.0
BUCKET = re.compile(r'^sluice_group_rows_bucket\{.*le="([^"]+)".*\} (\S+)$', re.MULTILINE)


async def test_nothing_is_lost_in_a_storm(start_server: StartServer) -> None:
    server = await start_server(flush_rows=FLUSH_ROWS)
    status, body = await server.call("POST", "/v1/rules", RULE)
    assert status == 201, body
    key = await server.key("read")
    await send_all(server, 10)
    await asyncio.sleep(2)  # until every worker knows the rule
    async with dashboards(server.url, key, server.supervisor.pids, 1) as watching:
        statuses = await send_all(server, 90)
        await asyncio.gather(*(dashboard.has(SERIES, PATIENCE_S) for dashboard in watching))
        assert set(statuses) <= {200, 503}, statuses
        assert statuses[200] == DEVICES
    # At rest: nothing of it comes again, and those who saw it saw what is recorded.
    events = await server.fetch("SELECT \"offset\", data->>'event' AS event, data->'alert' AS alert FROM alert_events")
    assert sorted(event["offset"] for event in events) == list(range(1, SERIES + 1))
    assert {event["event"] for event in events} == {"firing"}
    alerts = [json.loads(event["alert"]) for event in events]
    series = Counter((alert["device"], alert["metric"]) for alert in alerts)
    assert series == {(f"storm-{device}", f"m{metric}"): 1 for device in range(DEVICES) for metric in range(METRICS)}
    for dashboard in watching:
        assert dashboard.offsets == list(range(1, SERIES + 1))
    (active,) = await server.fetch("SELECT count(*) FROM alerts WHERE state = 'firing'")
    assert active["count"] == SERIES
    (stored,) = await server.fetch("SELECT count(*) FROM telemetry WHERE value = 90")
    assert stored["count"] == SERIES
    await groups_were_bounded(server)


async def send_all(server: Server, value: float) -> Counter[int]:
    """Have every device send one reading of each of its series, many at once, each until it is answered 200."""
    statuses: Counter[int] = Counter()
    waiting = list(range(DEVICES))
    ms = time.time_ns() // 1_000_000
    headers = server.headers()
    url = f"{server.url}/v1/readings"

    async def send(session: aiohttp.ClientSession) -> None:
        while waiting:
            device = waiting.pop()
            readings = [{"ts": ms, "metric": f"m{metric}", "value": value} for metric in range(METRICS)]
            status = 0
            while status != 200:
                body = {"device": f"storm-{device}", "readings": readings}
                async with session.post(url, json=body, headers=headers) as response:
                    answer, status = await response.json(), response.status
                    retry_s = float(response.headers.get("Retry-After", 0))
                statuses[status] += 1
                assert status in {200, 503}, answer
                await asyncio.sleep(retry_s)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(send(session) for _ in range(CONNECTIONS)))
    return statuses


async def groups_were_bounded(server: Server) -> None:
    """Fail unless many were stored together, and no more of them than a group may hold."""
    async with server.http.get(f"{server.url}/metrics", headers=server.headers()) as response:
        found = {float(bound): float(count) for bound, count in BUCKET.findall(await response.text())}
    assert found[FLUSH_ROWS] == found[float("inf")] > 0, found
    assert found[METRICS * 2.5] < found[float("inf")], "no group held more than two batches"
