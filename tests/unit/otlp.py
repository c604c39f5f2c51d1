"""Requests of OTLP as its own library writes them, and what the decoder makes of them."""

import json
from collections.abc import Mapping as Map
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ScopeMetrics
from opentelemetry.proto.resource.v1 import resource_pb2

from ingest.formats import otlp
from ingest.formats.mapping import OTLP_DEVICE_TAGS, OTLP_DROPPED, Mapping
from ingest.formats.terms import Terms
from schemas.columns import Columns
from tests.unit.influx import BOUNDS, MS, NOW_US

Request = metrics_service_pb2.ExportMetricsServiceRequest
MAPPING = Mapping(device_tags=OTLP_DEVICE_TAGS, dropped=OTLP_DROPPED)
NS = MS * 1_000_000
"""A time within bounds, in nanoseconds."""
HOME = {"service.instance.id": "pump", "service.name": "plant"}
UNREAD = {"exemplars", "metadata", "schema_url", "description", "unit", "entity_refs", "dropped_attributes_count"}


def any_value(value: Any) -> AnyValue:
    """A value of an attribute."""
    if value is None:
        return AnyValue()
    if isinstance(value, dict):
        made = AnyValue()
        made.kvlist_value.SetInParent()
        for name, each in value.items():
            made.kvlist_value.values.add(key=name).value.CopyFrom(any_value(each))
        return made
    if isinstance(value, list):
        made = AnyValue()
        made.array_value.SetInParent()
        made.array_value.values.extend(map(any_value, value))
        return made
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", bytes: "bytes_value", str: "string_value"}
    return AnyValue(**{kinds[type(value)]: value})


def describe(holder: Any, attributes: Map[str, Any]) -> Any:
    """Give a resource, a scope or a data point attributes."""
    for name, value in attributes.items():
        holder.attributes.add(key=name).value.CopyFrom(any_value(value))
    return holder


def scope_of(request: Request, resource: Map[str, Any] | None = None) -> ScopeMetrics:
    """A scope of another resource of the request."""
    added = request.resource_metrics.add()
    describe(added.resource, HOME if resource is None else resource)
    scope: ScopeMetrics = added.scope_metrics.add()
    return scope


def gauge(scope: ScopeMetrics, name: str, *values: float | int | None, time: int = NS, **attributes: Any) -> Metric:
    """A gauge with points at times one after the other; an integer is sent as such, None without a value."""
    metric: Metric = scope.metrics.add(name=name)
    for number, value in enumerate(values):
        point = describe(metric.gauge.data_points.add(time_unix_nano=time and time + number * 1_000_000), attributes)
        if value is not None:
            setattr(point, "as_int" if isinstance(value, int) else "as_double", value)
    return metric


def request(*values: float | int | None, resource: Map[str, Any] | None = None, **attributes: Any) -> Request:
    """A request with one gauge, `temperature`."""
    made = Request()
    gauge(scope_of(made, resource), "temperature", *values, **attributes)
    return made


def histogram(**more: Any) -> tuple[Request, Any]:
    """A request with one histogram of five, and its point."""
    made = Request()
    metric = scope_of(made).metrics.add(name="wait")
    given = {"count": 5, "sum": 9.5, "bucket_counts": [1, 3, 1], "explicit_bounds": [0.5, 10.0]}
    return made, metric.histogram.data_points.add(time_unix_nano=NS, **given | more)


def read(body: Any, mapping: Mapping = MAPPING, own: str | None = None) -> Columns:
    """Decode a request, or the bytes of one."""
    raw = body if isinstance(body, bytes) else body.SerializeToString()
    return otlp.decode(raw, Terms(BOUNDS, NOW_US, mapping, own))


def read_json(document: Any) -> Columns:
    """Decode JSON."""
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return otlp.decode_json(raw, Terms(BOUNDS, NOW_US, MAPPING))


def as_json(message: Request, *, proto_names: bool = False) -> dict[str, Any]:
    """A request in JSON, as OTLP has it: enums as numbers."""
    written: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=proto_names, use_integers_for_enums=True
    )
    return written


def lenient() -> Any:
    """The class of requests whose texts may be any bytes, and that does not look at what Sluice does not look at."""
    pool = descriptor_pool.DescriptorPool()
    for module in (common_pb2, resource_pb2, metrics_pb2, metrics_service_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        file.ClearField("options")
        for message in [*file.message_type, *(inner for each in file.message_type for inner in each.nested_type)]:
            for field in message.field:
                if field.type == field.TYPE_STRING or field.name in UNREAD:
                    field.type = field.TYPE_BYTES
                    field.ClearField("type_name")
        pool.Add(file)
    name = "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest"
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
