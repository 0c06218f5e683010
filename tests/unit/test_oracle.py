"""The oracle of the integration tests agrees with what the Collector's own arithmetic gave."""

from pathlib import Path

from tests.harness.load import partition_of
from tests.harness.oracle import Rules, probably_kept

VECTORS = Path(__file__).parent / "vectors" / "otel_probabilistic_vectors.txt"


def rows(kind: str) -> list[list[str]]:
    fields = [line.split() for line in VECTORS.read_text().splitlines()]
    return [row[1:] for row in fields if row[0] == kind]


def test_the_oracle_keeps_as_the_collector_keeps() -> None:
    (threshold_of_10,) = [int(fnv) for percentage, fnv, _ in rows("T") if percentage == "10"]
    for trace_id, hashed, _ in rows("H"):
        kept = probably_kept(bytes.fromhex(trace_id), 10)
        assert kept == (int(hashed) <= threshold_of_10), trace_id


def test_the_oracle_states_the_collectors_threshold() -> None:
    for percentage, _, threshold in rows("T"):
        if 1e-9 <= float(percentage) < 100:  # below, the Collector's rules for tiny ones begin
            rules = Rules(decision_wait_ms=0, slow_ms=0, percentage=float(percentage))
            assert rules.threshold("rest") == int(threshold), percentage


def test_the_oracle_partitions_as_sarama() -> None:
    # fnv1a("kafka") = 0xd33c4e1 as a positive int32: librdkafka's unit test of Sarama's hash.
    assert partition_of(b"kafka", 1 << 31) == 0x0D33C4E1
