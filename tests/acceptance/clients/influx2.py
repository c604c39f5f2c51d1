"""`influxdb-client` from PyPI: what it is told when it is wrong, then a stream by its own batching and retries.

Usage: URL KEY DEVICE COUNT. Says what it met on standard output, one JSON object a line.
"""

import json
import sys
import time
from typing import Any

from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

url, key, device, count = sys.argv[1:5]
base_ms = time.time_ns() // 1_000_000 - 600_000


def say(**what: Any) -> None:
    """Tell the test."""
    print(json.dumps(what), flush=True)  # noqa: T201


def refused(body: str, token: str) -> None:
    """Write something wrong, and tell how that went."""
    with InfluxDBClient(url, token, org="o") as client:
        try:
            client.write_api(write_options=SYNCHRONOUS).write("b", record=body, write_precision=WritePrecision.MS)
        except ApiException as error:
            say(refused=error.status, message=str(error.message))


refused(f"good,host={device} v=1 {base_ms}\nbad,host={device} v=nan", key)
refused("m,host=a v=1", "slk_wrong_key")

options = WriteOptions(batch_size=20, flush_interval=100, retry_interval=300, max_retry_delay=2_000, max_retries=50)
with InfluxDBClient(url, key, org="o") as client:
    say(ping=client.ping(), version=client.version(), health=client.health().status)

    def again(_: object, __: object, error: InfluxDBError) -> None:
        """Called by the library before it tries again."""
        say(again=error.response.status if error.response else 0)

    def stored(_: object, lines: str | bytes) -> None:
        """Called by the library when lines were taken."""
        text = lines if isinstance(lines, str) else lines.decode()
        written.extend(text.splitlines())

    written: list[str] = []
    with client.write_api(
        write_options=options, success_callback=stored, retry_callback=again, error_callback=lambda *_: say(lost=1)
    ) as api:
        for number in range(int(count)):
            point = Point("stream")  # type: ignore[no-untyped-call]
            point.tag("host", device).field("value", float(number)).field("note", "text")  # type: ignore[no-untyped-call]
            point.time(base_ms + number, WritePrecision.MS)  # type: ignore[no-untyped-call]
            api.write("b", record=point)
            time.sleep(0.02)
        while len(written) < int(count):
            time.sleep(0.1)
say(done=True)
