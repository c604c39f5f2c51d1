"""The decoder of OTLP metrics: an ExportMetricsServiceRequest, in Protocol Buffers or in JSON, to columns.

Numbers are stored as they come: of a cumulative sum the total, of a delta sum the increment. To make the one of the
other needs what an earlier request said, which another worker may have had. Of a histogram count, sum, min and max are
metrics of their own (`name.count`), and its buckets are `name.bucket` with the label `le`: how many were not above it.
Quantiles of a summary keep its name, with the label `quantile`.
"""

from ingest.formats import otlp_wire
from ingest.formats.otlp_json import as_protobuf
from ingest.formats.otlp_series import assemble
from ingest.formats.terms import Terms
from schemas.columns import Columns


def decode(body: bytes, terms: Terms) -> Columns:
    """Read Protocol Buffers. Data points with a fault are left out, each named in `rejected`; what has no value at its
    time is skipped, as are exemplars. Raises Malformed and TooLarge."""
    return assemble(otlp_wire.read(body, terms.bounds.max_readings), terms)


def decode_json(body: bytes, terms: Terms) -> Columns:
    """Read JSON, the same way: it is written anew as Protocol Buffers. Raises Malformed and TooLarge."""
    return decode(as_protobuf(body, terms.bounds.max_readings), terms)
