"""ThingsBoard's doors: the HTTP API of its devices, whose access token is a key of ours, in the path.

Devices know 200 without a body, 400 and 401; all else of the 4xx and 5xx is an error to them, some with a text.
"""

import json
from functools import partial

from ingest.foreign.dialect import Answer, Dialect
from ingest.foreign.door import Door, Head
from ingest.formats import thingsboard
from ingest.formats.mapping import Mapping
from ingest.formats.terms import Decode
from schemas.columns import Receipt
from schemas.errors import Invalid, Malformed, SluiceError

_DEVICE = "/api/v1/{key}"
TELEMETRY_PATH, ATTRIBUTES_PATH = f"{_DEVICE}/telemetry", f"{_DEVICE}/attributes"
OTHER_PATHS = tuple(f"{_DEVICE}/{name}" for name in ("attributes/updates", "rpc", "claim", "firmware", "software"))
"""Of what ThingsBoard does besides, and Sluice does not."""


def _encode(outcome: Receipt | SluiceError, _: str) -> Answer:
    if isinstance(outcome, Receipt):
        return Answer(200)
    status = 400 if isinstance(outcome, Invalid) else outcome.status
    document = {"status": status, "message": _said(outcome), "errorCode": outcome.code}
    return Answer(status, json.dumps(document, separators=(",", ":")).encode(), {"Content-Type": "application/json"})


def _said(error: SluiceError) -> str:
    if isinstance(error, Invalid) and error.faults:
        fault, more = error.faults[0], error.count - 1
        place = ".".join(str(step) for step in fault.as_json()["loc"])
        return (f"{place}: " if place else "") + fault.message + (f" (and {more} more)" if more else "")
    if isinstance(error, Malformed) and error.detail:
        return error.detail
    return f"{error.title} ({error.detail})" if error.detail else error.title


def _telemetry(_: Head) -> Decode:
    """Whatever the Content-Type: many devices send none, or curl's."""
    return thingsboard.decode


def _attributes(_: Head) -> Decode:
    return partial(thingsboard.decode, attributes=True)


DIALECT = Dialect(_encode)
TELEMETRY, ATTRIBUTES = (
    Door(name, decoder, DIALECT, partial=False, names=thingsboard.NAMES, describe=Mapping.describe_paths)
    for name, decoder in (("thingsboard", _telemetry), ("thingsboard-attributes", _attributes))
)
