"""`influxdb-client` from PyPI: what it is told when it is wrong, then a stream by its own batching and retries.

Usage: URL KEY DEVICE.
"""

import sys
import time

from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from tests.acceptance.clients import enough, say

url, key, device = sys.argv[1:4]
base_ms = time.time_ns() // 1_000_000 - 600_000


def refused(body: str, token: str) -> None:
    """Write something wrong, and tell how that went."""
    with InfluxDBClient(url, token, org="o") as client:
        try:
            client.write_api(write_options=SYNCHRONOUS).write("b", record=body, write_precision=WritePrecision.MS)
        except ApiException as error:
            say(refused=error.status, message=str(error.message))


refused(f"good,host={device} v=1 {base_ms}\nbad,host={device} v=nan", key)
refused("m,host=a v=1", "slk_wrong_key")

# How often it tries again, and after how long, is left at the library's defaults: five times.
options = WriteOptions(batch_size=20, flush_interval=100)
with InfluxDBClient(url, key, org="o") as client:
    say(ping=client.ping(), version=client.version(), health=client.health().status)
    written: list[str] = []
    lost: list[str] = []

    def again(_: object, __: object, error: InfluxDBError) -> None:
        """Called by the library before it tries again."""
        say(again=error.response.status if error.response else 0)

    def stored(_: object, lines: str | bytes) -> None:
        """Called by the library when lines were taken."""
        written.extend((lines if isinstance(lines, str) else lines.decode()).splitlines())

    def failed(_: object, lines: str | bytes, error: Exception) -> None:
        """Called by the library when it gives lines up."""
        lost.extend((lines if isinstance(lines, str) else lines.decode()).splitlines())
        say(lost=str(error))

    ended, sent = enough(), 0
    with client.write_api(options, success_callback=stored, retry_callback=again, error_callback=failed) as api:
        while not ended.wait(0.02):
            point = Point("stream")  # type: ignore[no-untyped-call]
            point.tag("host", device).field("value", float(sent)).field("note", "text")  # type: ignore[no-untyped-call]
            point.time(base_ms + sent, WritePrecision.MS)  # type: ignore[no-untyped-call]
            api.write("b", record=point)
            sent += 1
        while len(written) + len(lost) < sent:
            time.sleep(0.1)
say(done=sent)
