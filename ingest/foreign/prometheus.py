"""Prometheus's door: remote write 1.0, and how it wants to be answered.

Prometheus drops a batch on every 4xx, and sends it again, ever slower, on 5xx. It logs the first line of an answer.
"""

from ingest.body import Inflaters
from ingest.foreign.dialect import Answer, Dialect
from ingest.foreign.door import Door, Head
from ingest.formats import prometheus
from ingest.formats.terms import Decode
from ingest.inflate import unsnappy, unzstd
from schemas.columns import PartReceipt, Receipt
from schemas.errors import Invalid, SluiceError, UnsupportedMediaType

MEDIA_TYPE, MESSAGE = "application/x-protobuf", "prometheus.WriteRequest"

ENCODINGS: Inflaters = {"snappy": unsnappy, "": unsnappy, "zstd": unzstd}
"""Snappy is the protocol's own, said or not; vmagent tries zstd first."""

_WRITTEN = "X-Prometheus-Remote-Write-{}-Written"
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


def _encode(outcome: Receipt | SluiceError, _: str) -> Answer:
    if isinstance(outcome, SluiceError):
        return Answer(outcome.status, _line(_said(outcome)), _TEXT | _written(0))
    stored = outcome.accepted + outcome.duplicates
    if isinstance(outcome, PartReceipt) and outcome.rejected:
        faults = outcome.rejected
        what = f"partial write: {stored} samples stored, {len(faults)} not; the first of these"
        return Answer(400, _line(f"{what}: {faults[0].message} ({faults[0].code})"), _TEXT | _written(stored))
    return Answer(204, headers=_written(stored))


def _written(samples: int) -> dict[str, str]:
    return {
        _WRITTEN.format("Samples"): str(samples),
        _WRITTEN.format("Histograms"): "0",
        _WRITTEN.format("Exemplars"): "0",
    }


def _said(error: SluiceError) -> str:
    if isinstance(error, Invalid) and error.faults:
        return error.faults[0].message
    return f"{error.title} ({error.detail})" if error.detail else error.title


def _line(text: str) -> bytes:
    return f"{text}\n".encode()


def _decoder(head: Head) -> Decode:
    """Raises UnsupportedMediaType; where nothing is said of the kind, it is taken for what it has to be."""
    kind, *parameters = (part.strip() for part in head.kind.split(";"))
    said = dict(part.lower().split("=", 1) for part in parameters if "=" in part)
    proto = said.get("proto", MESSAGE.lower()).strip('"')
    if kind.lower() not in {MEDIA_TYPE, ""} or proto != MESSAGE.lower():
        raise UnsupportedMediaType(f"this is remote write 1.0: 'Content-Type: {MEDIA_TYPE};proto={MESSAGE}', in snappy")
    return prometheus.decode


WRITE = Door("prometheus", _decoder, Dialect(_encode, quota_status=503), ENCODINGS, names=prometheus.NAMES)
