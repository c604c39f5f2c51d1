"""`influxdb` from PyPI (InfluxDB 1): what it is told when it is wrong, then a stream that is repeated by its caller.

The library itself repeats a request only where the connection broke; a 503 it raises.
Usage: URL KEY DEVICE.
"""

import json
import sys
import time
from urllib.parse import urlsplit

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError, InfluxDBServerError

from tests.acceptance.clients import enough, say

url, key, device = sys.argv[1:4]
base_ms = time.time_ns() // 1_000_000 - 600_000
parts = urlsplit(url)


def connect(password: str) -> InfluxDBClient:
    """A client as its documentation makes one."""
    return InfluxDBClient(parts.hostname, parts.port, "anybody", password, "telegraf", gzip=True)


client = connect(key)
client.create_database("telegraf")
say(ping=bool(client.ping()), version=client.ping(), health="pass", databases=len(client.get_list_database()))
for who, body in (
    (client, f"good,host={device} v=1 {base_ms}\nbad,host={device} v=nan"),
    (connect("slk_wrong_key"), "m,host=a v=1"),
):
    try:
        who.write_points(body.split("\n"), time_precision="ms", protocol="line")
    except InfluxDBClientError as error:
        say(refused=error.code, message=json.loads(error.content)["error"])

ended, sent = enough(), 0
while not ended.is_set():
    batch = [
        {
            "measurement": "stream",
            "tags": {"host": device},
            "time": base_ms + number,
            "fields": {"value": float(number), "note": "text"},
        }
        for number in range(sent, sent + 20)
    ]
    sent += len(batch)
    while True:
        try:
            client.write_points(batch, time_precision="ms")
            break
        except InfluxDBServerError:
            say(again=503)
        except InfluxDBClientError as error:
            say(again=error.code)
        time.sleep(0.3)
    time.sleep(0.4)
say(done=sent)
