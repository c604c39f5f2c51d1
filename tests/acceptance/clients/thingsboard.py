"""`TBHTTPDevice` of `tb-mqtt-client` (ThingsBoard's own SDK): what it is told when it is wrong, then a stream by its
own queue, which sends again what was refused.

Usage: URL KEY DEVICE COUNT. Says what it met on standard output, one JSON object a line; ends with its input.
"""

import json
import logging
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from requests.exceptions import HTTPError
from tb_device_http import TBHTTPDevice

url, key, _, count = sys.argv[1:5]
base = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=600)  # it takes any time for UTC


def say(**what: Any) -> None:
    """Tell the test."""
    print(json.dumps(what), flush=True)  # noqa: T201


class Ear(logging.Handler):
    """Hears what the SDK logs of a failure, before it tries again."""

    def emit(self, record: logging.LogRecord) -> None:
        """A failure."""
        error = record.msg
        status = error.response.status_code if isinstance(error, HTTPError) and error.response is not None else 0
        say(again=status or str(error))


logging.getLogger("TBHTTPDevice.worker.publish").addHandler(Ear(logging.ERROR))
for who, values in ((TBHTTPDevice(url, key), {"t": float("1e308"), "": 1}), (TBHTTPDevice(url, "A1_TOKEN"), {"t": 1})):
    try:
        who.send_telemetry(values, base, queued=False)
    except HTTPError as error:
        if error.response is not None:
            say(refused=error.response.status_code, message=error.response.json()["message"])

device = TBHTTPDevice(url, key)
device.send_attributes({"serial": "x-17", "capacity": 2500})
say(connected=device.connect())
for number in range(int(count)):
    device.send_telemetry({"stream": number, "note": "text"}, base + timedelta(milliseconds=number))
    time.sleep(0.02)
sys.stdin.read()
say(done=True)
