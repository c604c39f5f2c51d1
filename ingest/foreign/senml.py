"""SenML's door. It has no path of its own: a pack comes to the native one, by its Content-Type, and is answered there
as our own JSON is, with the number of values that are no readings (`skipped`) where there are any."""

from ingest.foreign.dialect import Answer, Dialect
from ingest.foreign.door import Door, Head
from ingest.formats import senml
from ingest.formats.mapping import Mapping
from ingest.formats.terms import Decode
from schemas.columns import Receipt
from schemas.errors import SluiceError
from schemas.problems import MEDIA_TYPE, encode_problem

JSON, CBOR = "application/senml+json", "application/senml+cbor"
KINDS = frozenset({JSON, CBOR})
DESCRIBED = {JSON: [{"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "u": "Cel", "v": 23.1}], CBOR: None}
"""An example of each; in CBOR it is binary."""


def _encode(outcome: Receipt | SluiceError, _: str) -> Answer:
    if isinstance(outcome, SluiceError):
        return Answer(outcome.status, encode_problem(outcome), {"Content-Type": MEDIA_TYPE})
    return Answer(200, outcome.as_json(), {"Content-Type": "application/json"})


def _decoder(head: Head) -> Decode:
    """By the kind; what is tried without one of ours is taken for JSON."""
    return senml.decode_cbor if head.kind.partition(";")[0].strip().lower() == CBOR else senml.decode_json


DIALECT = Dialect(_encode, invalid_status=422)
WRITE = Door("senml", _decoder, DIALECT, partial=False, names=senml.NAMES, describe=Mapping.describe_senml)
