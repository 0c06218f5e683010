"""A topic whose records lie elsewhere than their trace."""

from stream.kafka.partitioner import PARTITIONERS
from stream.kafka.receive import Batch
from stream.kafka.routing import WINDOW_S, Routing
from stream.sampling.record import Record

PARTITIONS = 6
KEYS = [b"%032x" % n for n in range(400)]


def batches(partitioner: str, *, misrouted: bool) -> list[Batch]:
    keys: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    for key in KEYS:
        keys[PARTITIONERS[partitioner](key, PARTITIONS)].append(key)
    made = []
    for number, placed in enumerate(keys):
        records = [Record(offset, 0, key=key) for offset, key in enumerate(placed)]
        made.append(Batch(number, 1, records))
        made[-1].keys["misrouted"] += misrouted * len(placed)
    return made


def advice_after(seen: list[Batch]) -> str | None:
    routing = Routing("fnv1a", began_s=0)
    for batch in seen:
        routing.saw(batch)
    return routing.advice(WINDOW_S, PARTITIONS)


def test_records_where_they_belong_are_not_spoken_of() -> None:
    assert advice_after(batches("fnv1a", misrouted=False)) is None
    assert advice_after([]) is None


def test_another_partitioner_that_fits_is_named() -> None:
    advice = advice_after(batches("murmur2", misrouted=True))

    assert advice is not None
    assert "topics.partitioner to murmur2" in advice


def test_where_no_partitioner_fits_rekey_is_named() -> None:
    lying = Batch(0, 1, [Record(n, 0, key=key) for n, key in enumerate(KEYS)])
    lying.keys["misrouted"] = 300
    unkeyed = Batch(0, 1, [Record(n, 0) for n in range(100)])
    unkeyed.keys["key_mismatch"] = 100

    for seen in (lying, unkeyed):
        advice = advice_after([seen])
        assert advice is not None
        assert "tailstream rekey" in advice


def test_records_without_a_span_are_told_before_all_else() -> None:
    batch = Batch(0, 1, [Record(n, 0, key=b"k") for n in range(100)])
    batch.keys["no_spans"] = 2
    batch.keys["misrouted"] = 98

    advice = advice_after([batch])
    assert advice is not None
    assert "2% of the input's records hold no span" in advice
    assert "otlp_proto" in advice


def test_one_in_a_hundred_is_not_spoken_of_and_each_minute_counts_anew() -> None:
    routing = Routing("fnv1a", began_s=0)
    batch = Batch(0, 1, [Record(n, 0, key=b"k") for n in range(100)])
    batch.keys["misrouted"] = 1

    routing.saw(batch)
    assert routing.advice(WINDOW_S - 1, PARTITIONS) is None
    assert routing.advice(WINDOW_S, PARTITIONS) is None

    batch.keys["misrouted"] = 2
    routing.saw(batch)
    assert routing.advice(2 * WINDOW_S, PARTITIONS) is not None
    assert routing.advice(3 * WINDOW_S, PARTITIONS) is None
