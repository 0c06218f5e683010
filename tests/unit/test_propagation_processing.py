"""The spans of processing messages, by the messaging conventions of version 1.44."""

from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode

from stream.propagation import KafkaSpans, Received, inject
from tests.harness.recorded import Recorded, attributes, ids, ids_in, linked

TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
CREATED = [("traceparent", TRACEPARENT)]

KAFKA = {"messaging.system": "kafka", "messaging.destination.name": "orders"}
PROCESSED = {**KAFKA, "messaging.operation.name": "process", "messaging.operation.type": "process"}


def kafka_spans(recorded: Recorded, **options: Any) -> KafkaSpans:
    return KafkaSpans(tracer_provider=recorded.provider, **options)


def a_message(offset: int = 7, **options: Any) -> Received:
    return Received(**{"topic": "orders", "partition": 3, "offset": offset, **options})


def test_a_message_is_processed_in_a_span_of_its_own_that_links_to_the_one_that_sent_it(
    recorded: Recorded,
) -> None:
    spans = kafka_spans(recorded, bootstrap_servers="kafka:9092", group="shipping", client_id="s1")
    message = a_message(headers=[*CREATED, ("tracestate", b"foo@=1")], key=b"42")

    with spans.process(message) as span:
        assert trace.get_current_span() is span

    process = recorded.span()
    assert (process.name, process.kind) == ("process orders", SpanKind.CONSUMER)
    assert process.parent is None
    assert linked(process) == [ids_in(TRACEPARENT)]
    assert process.links[0].context.trace_state.to_header() == "foo@=1"
    assert attributes(process) == {
        **PROCESSED,
        "messaging.client.id": "s1",
        "messaging.consumer.group.name": "shipping",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.message.key": "42",
        "messaging.kafka.offset": 7,
        "server.address": "kafka",
        "server.port": 9092,
    }


def test_it_is_a_child_of_what_it_runs_in(recorded: Recorded) -> None:
    with (
        recorded.tracer.start_as_current_span("loop"),
        kafka_spans(recorded).process(a_message(headers=CREATED)),
    ):
        pass

    process, loop = recorded.spans()
    assert process.parent == loop.context
    assert linked(process) == [ids_in(TRACEPARENT)]


def test_by_option_it_is_a_child_of_the_span_that_sent_the_message(recorded: Recorded) -> None:
    with (
        recorded.tracer.start_as_current_span("loop"),
        kafka_spans(recorded).process(a_message(headers=CREATED), parent=True),
    ):
        pass

    process, loop = recorded.spans()
    assert process.parent is not None
    assert ids(process.parent) == ids_in(TRACEPARENT)
    assert linked(process) == [ids(loop.context)]


def test_by_option_and_outside_of_any_span_it_links_to_nothing(recorded: Recorded) -> None:
    with kafka_spans(recorded).process(a_message(headers=CREATED), parent=True):
        pass

    assert recorded.span().context.trace_id == int(ids_in(TRACEPARENT)[0], 16)
    assert recorded.span().links == ()


@pytest.mark.parametrize("parent", [False, True])
@pytest.mark.parametrize("headers", [None, [], [("traceparent", b"broken")]])
def test_a_message_without_a_context_has_no_link(
    recorded: Recorded, headers: Any, *, parent: bool
) -> None:
    with (
        recorded.tracer.start_as_current_span("loop"),
        kafka_spans(recorded).process(a_message(headers=headers), parent=parent),
    ):
        pass

    process, loop = recorded.spans()
    assert process.parent == loop.context
    assert process.links == ()


@pytest.mark.parametrize("parent", [False, True])
def test_the_messages_baggage_is_in_force_while_it_is_processed(
    recorded: Recorded, *, parent: bool
) -> None:
    message = a_message(headers=[*CREATED, ("baggage", b"tenant=blue")])
    ambient = baggage.set_baggage("loop", "1", Context())

    with kafka_spans(recorded).process(message, parent=parent, context=ambient):
        assert dict(baggage.get_all()) == {"loop": "1", "tenant": "blue"}
        assert dict(inject())["baggage"] == b"loop=1,tenant=blue"
    assert dict(baggage.get_all()) == {}


def test_an_exception_passes_and_the_span_says_which(recorded: Recorded) -> None:
    spans = kafka_spans(recorded)
    with pytest.raises(LookupError, match="no such order"), spans.process(a_message()):
        raise LookupError("no such order")
    with pytest.raises(pytest.fail.Exception), spans.process(a_message()):
        pytest.fail("of a library")

    plain, library = recorded.spans()
    assert attributes(plain)["error.type"] == "LookupError"
    assert plain.status.status_code == StatusCode.ERROR
    assert plain.status.description == "LookupError: no such order"
    assert [event.name for event in plain.events] == ["exception"]
    assert library.status.status_code == StatusCode.UNSET, "it is no Exception: it is an exit"


def test_what_is_no_unicode_in_an_exception_does_not_make_the_span_unfit_for_export(
    recorded: Recorded,
) -> None:
    with pytest.raises(OSError, match="bill"), kafka_spans(recorded).process(a_message()):
        raise OSError("bill\udcff.pdf")

    assert recorded.span().status.description == "OSError: bill\ufffd\ufffd\ufffd.pdf"


class Untellable(Exception):  # noqa: N818 - as applications have them
    """An exception whose text cannot be made."""

    def __str__(self) -> str:
        raise ValueError


def test_an_exception_that_cannot_be_told_passes_like_any_other(recorded: Recorded) -> None:
    with pytest.raises(Untellable), kafka_spans(recorded).process(a_message()):
        raise Untellable

    assert recorded.span().status.description == "Untellable"
    assert attributes(recorded.span())["error.type"].endswith(".Untellable")


def test_a_key_of_1024_characters_is_said_and_no_longer_one(recorded: Recorded) -> None:
    keys = [b"k" * 1_024, b"k" * 1_025]
    messages = [a_message(at, key=key, headers=CREATED) for at, key in enumerate(keys)]

    with kafka_spans(recorded).process_batch(messages):
        pass

    said = [attributes(link).get("messaging.kafka.message.key") for link in recorded.span().links]
    assert said == ["k" * 1_024, None]


def test_the_name_of_a_librarys_exception_has_its_module(recorded: Recorded) -> None:
    class RefusedError(Exception):
        pass

    with pytest.raises(RefusedError), kafka_spans(recorded).process(a_message()):
        raise RefusedError

    name = f"{__name__}.{RefusedError.__qualname__}"
    assert attributes(recorded.span())["error.type"] == name


def test_the_context_is_as_before_after_it(recorded: Recorded) -> None:
    with recorded.tracer.start_as_current_span("loop") as loop:
        with kafka_spans(recorded).process(a_message(headers=CREATED)):
            pass
        assert trace.get_current_span() is loop


def test_a_sampler_sees_the_attributes_and_links_at_the_start() -> None:
    seen: list[Any] = []

    class Nosy(Sampler):
        def should_sample(self, *arguments, **_):  # type: ignore[no-untyped-def] # noqa: ANN002, ANN003, ANN202 - the SDK's signature
            seen.append(arguments)
            return SamplingResult(Decision.DROP)

        def get_description(self) -> str:
            return "nosy"

    spans = KafkaSpans(tracer_provider=TracerProvider(sampler=Nosy()), group="shipping")
    with spans.process(a_message(headers=CREATED)):
        pass
    with spans.process_batch([a_message(headers=CREATED)]):
        pass

    for _, _, name, kind, said, links in seen:
        assert (name, kind, len(links)) == ("process orders", SpanKind.CONSUMER, 1)
        assert said["messaging.consumer.group.name"] == "shipping"
        assert said["messaging.destination.partition.id"] == "3"


# Process a batch.


def test_a_batch_is_one_span_with_a_link_for_every_message(recorded: Recorded) -> None:
    batch = [
        a_message(7, headers=CREATED, key=b"42"),
        a_message(8, headers=[("traceparent", OTHER)], tombstone=True),
        a_message(9, headers=CREATED, partition=4),
    ]

    with kafka_spans(recorded, group="shipping").process_batch(batch) as span:
        assert trace.get_current_span() is span

    process = recorded.span()
    assert (process.name, process.kind) == ("process orders", SpanKind.CONSUMER)
    assert process.parent is None
    assert attributes(process) == {
        **PROCESSED,
        "messaging.batch.message_count": 3,
        "messaging.consumer.group.name": "shipping",
    }
    assert linked(process) == [ids_in(TRACEPARENT), ids_in(OTHER), ids_in(TRACEPARENT)]
    assert [attributes(link) for link in process.links] == [
        {
            "messaging.destination.partition.id": "3",
            "messaging.kafka.offset": 7,
            "messaging.kafka.message.key": "42",
        },
        {
            "messaging.destination.partition.id": "3",
            "messaging.kafka.offset": 8,
            "messaging.kafka.message.tombstone": True,
        },
        {"messaging.destination.partition.id": "4", "messaging.kafka.offset": 9},
    ]


def test_what_all_messages_share_is_on_the_span(recorded: Recorded) -> None:
    with kafka_spans(recorded).process_batch([a_message(7), a_message(8)]):
        pass

    assert attributes(recorded.span()) == {
        **PROCESSED,
        "messaging.batch.message_count": 2,
        "messaging.destination.partition.id": "3",
    }


def test_a_batch_of_several_topics_names_them_on_the_links(recorded: Recorded) -> None:
    batch = [a_message(headers=CREATED), a_message(headers=CREATED, topic="returns")]

    with kafka_spans(recorded).process_batch(batch):
        pass

    span = recorded.span()
    assert span.name == "process"
    assert "messaging.destination.name" not in attributes(span)
    assert [attributes(link)["messaging.destination.name"] for link in span.links] == [
        "orders",
        "returns",
    ]


def test_aiokafkas_dict_of_lists_is_a_batch(recorded: Recorded) -> None:
    batch = {
        "a partition": [a_message(7, headers=CREATED)],
        "another": [a_message(8), a_message(9)],
    }

    with kafka_spans(recorded).process_batch(batch):
        pass

    assert attributes(recorded.span())["messaging.batch.message_count"] == 3
    assert linked(recorded.span()) == [ids_in(TRACEPARENT)]


def test_messages_without_a_context_are_counted_and_have_no_link(recorded: Recorded) -> None:
    batch = [a_message(7), a_message(8, headers=CREATED), a_message(9, headers=[("id", b"7")])]

    with kafka_spans(recorded).process_batch(batch):
        pass

    assert attributes(recorded.span())["messaging.batch.message_count"] == 3
    assert linked(recorded.span()) == [ids_in(TRACEPARENT)]


def test_no_messages_make_no_span(recorded: Recorded) -> None:
    with kafka_spans(recorded).process_batch([]) as span:
        assert not span.is_recording()

    assert recorded.spans() == []


def test_an_exception_in_a_batch_passes_and_the_span_says_which(recorded: Recorded) -> None:
    with pytest.raises(ValueError, match="bad"), kafka_spans(recorded).process_batch([a_message()]):
        raise ValueError("bad")

    assert attributes(recorded.span())["error.type"] == "ValueError"


def test_a_message_id_is_the_header_that_was_named(recorded: Recorded) -> None:
    spans = kafka_spans(recorded, message_id_header="ce_id")
    message = a_message(headers=[*CREATED, ("CE_ID", b"a-1")])
    with spans.process(message):
        pass
    with spans.process_batch([message, a_message()]):
        pass

    one, batch = recorded.spans()
    assert attributes(one)["messaging.message.id"] == "a-1"
    assert attributes(batch.links[0])["messaging.message.id"] == "a-1"
    assert "messaging.message.id" not in attributes(batch)
