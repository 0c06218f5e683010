"""What of an OTLP metrics message leads to its exemplars, as a protobuf message of its own.

The fields and their numbers are opentelemetry/proto/metrics/v1/metrics.proto's; all others are
unknown to it, so upb skips attributes, buckets and names by their length.
"""

from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE: Final = "tailstream.exemplars"
_MESSAGES: Final[dict[str, dict[str, tuple[int, str]]]] = {
    "Exemplar": {"time_unix_nano": (2, "fixed64"), "trace_id": (5, "bytes")},
    "NumberPoint": {"exemplars": (5, "Exemplar")},
    "HistogramPoint": {"exemplars": (8, "Exemplar")},
    "ExponentialPoint": {"exemplars": (11, "Exemplar")},
    "Numbers": {"data_points": (1, "NumberPoint")},
    "Histogram": {"data_points": (1, "HistogramPoint")},
    "Exponential": {"data_points": (1, "ExponentialPoint")},
    "Metric": {
        "gauge": (5, "Numbers"),
        "sum": (7, "Numbers"),
        "histogram": (9, "Histogram"),
        "exponential_histogram": (10, "Exponential"),
    },
    "ScopeMetrics": {"metrics": (2, "Metric")},
    "ResourceMetrics": {"scope_metrics": (2, "ScopeMetrics")},
    "MetricsData": {"resource_metrics": (1, "ResourceMetrics")},
}
_SCALARS: Final = {
    "fixed64": FieldDescriptorProto.TYPE_FIXED64,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
ONE_OF: Final = "data"
"""A metric is of one kind: where a message names several, the last one counts."""


def _field(name: str, number: int, kind: str) -> FieldDescriptorProto:
    if kind in _SCALARS:
        return FieldDescriptorProto(
            name=name,
            number=number,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
            type=_SCALARS[kind],
        )
    return FieldDescriptorProto(
        name=name,
        number=number,
        label=FieldDescriptorProto.LABEL_REPEATED,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.{kind}",
    )


def _message(name: str) -> DescriptorProto:
    fields = [_field(each, *place) for each, place in _MESSAGES[name].items()]
    message = DescriptorProto(name=name, field=fields)
    if name == "Metric":
        message.oneof_decl.add(name=ONE_OF)
        for field in message.field:
            field.label = FieldDescriptorProto.LABEL_OPTIONAL
            field.oneof_index = 0
    return message


def _view() -> Any:
    file = FileDescriptorProto(
        name="tailstream/exemplars.proto",
        package=_PACKAGE,
        syntax="proto3",
        message_type=map(_message, _MESSAGES),
    )
    # A pool of our own: nobody else's messages are touched.
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.MetricsData"))


MetricsView: Final = _view()
"""The message class; `MetricsView.FromString(value)` raises DecodeError."""
