"""What a member was assigned is read as Kafka's ConsumerProtocolAssignment has it."""

import struct

import pytest

from stream.kafka.group_members import partitions_of


def assignment(**topics: list[int]) -> bytes:
    written = struct.pack(">hi", 1, len(topics))
    for name, numbers in topics.items():
        written += struct.pack(">h", len(name)) + name.encode()
        written += struct.pack(f">i{len(numbers)}i", len(numbers), *numbers)
    return written + struct.pack(">i", -1)  # no user data


def test_the_partitions_of_the_topic_are_read_and_those_of_others_are_not() -> None:
    told = assignment(other=[7], spans=[0, 3, 11], more=[2])

    assert list(partitions_of(told, "spans")) == [0, 3, 11]
    assert list(partitions_of(told, "nothing")) == []
    assert list(partitions_of(b"", "spans")) == []


@pytest.mark.parametrize("size", range(len(assignment(spans=[1, 2])) - 4))
def test_an_assignment_that_is_cut_is_none(size: int) -> None:
    assert list(partitions_of(assignment(spans=[1, 2])[:size], "spans")) == []


def test_numbers_beyond_what_there_is_are_none() -> None:
    wrong = struct.pack(">hi", 1, 1) + struct.pack(">h5si", 5, b"spans", 2**31 - 1)

    assert list(partitions_of(wrong, "spans")) == []
    assert list(partitions_of(struct.pack(">hi", 1, -5), "spans")) == []
    assert list(partitions_of(struct.pack(">hihi", 1, 2**31 - 1, -1, 0), "spans")) == []
