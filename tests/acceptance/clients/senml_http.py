"""`senml` from PyPI makes the packs, in JSON, and through `cbor2` in CBOR; what sends them is as simple as a device's.

Neither repeats anything: this program does, as docs/guarantees.md tells devices to. Usage: URL KEY DEVICE COUNT. Says
what it met on standard output, one JSON object a line; ends with its input.
"""

import json
import sys
import time
from typing import Any

import cbor2
import requests
from senml import SenMLDocument, SenMLMeasurement

url, key, device, count = sys.argv[1:5]
base_s = time.time() - 600
KINDS = {"application/senml+json": lambda pack: json.dumps(pack).encode(), "application/senml+cbor": cbor2.dumps}


def say(**what: Any) -> None:
    """Tell the test."""
    print(json.dumps(what), flush=True)  # noqa: T201


def pack(first: int, values: list[Any], name: str = "stream") -> Any:
    """A pack as the package makes it."""
    base = SenMLMeasurement(name=f"{device}/", time=base_s, unit="Cel")
    given = enumerate(values)
    records = [SenMLMeasurement(name=name, time=(first + place) / 1_000, value=value) for place, value in given]
    return SenMLDocument(records, base=base).to_json()


def post(document: Any, kind: str, token: str) -> requests.Response:
    """One request."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    return requests.post(f"{url}/v1/readings", data=KINDS[kind](document), headers=headers, timeout=30)


for made, kind, token in (
    (pack(0, [1.0], "not a name"), "application/senml+cbor", key),
    (pack(0, [1.0]), "application/senml+json", "slk_wrong_key"),
):
    answer = post(made, kind, token)
    say(refused=answer.status_code, message=answer.json()["title"])
answer = post(pack(0, ["idle", True, 0.5], "state"), "application/senml+json", key)
say(connected=answer.status_code == 200 and answer.json()["skipped"] == 1)

for number, first in enumerate(range(0, int(count), 2)):
    while True:
        made = pack(first, [float(first), float(first + 1)][: int(count) - first])
        answer = post(made, list(KINDS)[number % 2], key)
        if answer.status_code == 200:
            break
        say(again=answer.status_code)
        time.sleep(int(answer.headers.get("Retry-After", 1)))
    time.sleep(0.2)
sys.stdin.read()
say(done=True)
