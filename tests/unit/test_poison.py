"""How a worker finds out which record killed its predecessors."""

import functools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message

from stream.exits import Exit
from stream.kafka.partitioner import fnv1a
from stream.kafka.receive import Receiver
from stream.kafka.scan_note import RANGES_MAX, OffsetRange, ScanNote
from stream.otlp.fragment import DeadLetterReason
from stream.otlp.scan import ScanPlan
from stream.poison.book import POISON_MAX, Book
from stream.poison.examiner import Examiner, NoChildError
from stream.poison.search import Search
from stream.poison.watch import LOOKS_MAX, ScanWatch
from stream.settings.tail_sampling import TailSampling
from stream.testing.spans import a_trace, trace_id_of, traces_data
from tests.harness import deadly_scan

TOPIC_ID = "bXktdG9waWMtaXMtdGhpcw"
GOOD = traces_data(*a_trace(1))
SAMPLING = TailSampling.model_validate(
    {
        "decision_wait": "1s",
        "policies": [
            {
                "name": "gold",
                "type": "string_attribute",
                "string_attribute": {"key": "k", "values": ["a.*"], "enabled_regex_matching": True},
            }
        ],
    }
)


def a_message(partition: int, offset: int, value: bytes = GOOD, **fields: Any) -> Message:
    key = trace_id_of(1).hex().encode()
    return Message(topic="t", partition=partition, offset=offset, key=key, value=value, **fields)


@pytest.fixture
def note(tmp_path: Path) -> Iterator[ScanNote]:
    made = ScanNote(tmp_path / "note")
    made.topic_id = TOPIC_ID
    yield made
    made.close()


class Log:
    """A log of some partitions: offset -> value."""

    def __init__(self, **partitions: dict[int, bytes]) -> None:
        self._records = {int(name[1:]): records for name, records in partitions.items()}
        self.read: list[OffsetRange] = []

    def __call__(self, wanted: OffsetRange) -> Iterable[tuple[int, bytes]]:
        self.read.append(wanted)
        records = self._records[wanted.partition]
        return [(o, v) for o, v in records.items() if wanted.first <= o <= wanted.last]


def search(tmp_path: Path, note: ScanNote, log: Log) -> dict[int, frozenset[int]]:
    """Start a worker, as far as poison goes."""
    examiner = functools.partial(Examiner, deadly_scan.scan, SAMPLING)
    return dict(Search(note, tmp_path / "book", read=log, examiner=examiner).run(TOPIC_ID))


# The note


def test_a_death_in_a_scan_leaves_the_ranges_of_its_records(note: ScanNote, tmp_path: Path) -> None:
    error = Message(error=KafkaError(KafkaError._ALL_BROKERS_DOWN))
    note.begin([a_message(1, 5), error, a_message(0, 9), a_message(1, 6), a_message(1, 8)])

    found = ScanNote(tmp_path / "note").left()

    assert found == (TOPIC_ID, [OffsetRange(1, 5, 8), OffsetRange(0, 9, 9)])


def test_a_scan_that_has_ended_leaves_nothing(note: ScanNote, tmp_path: Path) -> None:
    note.begin([a_message(1, 5)])
    note.end()

    assert ScanNote(tmp_path / "note").left() == ("", [])


def test_a_poll_of_as_many_partitions_as_it_has_messages_is_noted_whole(note: ScanNote) -> None:
    note.begin([a_message(number, 2**40) for number in range(RANGES_MAX)])

    assert len(note.left()[1]) == RANGES_MAX
    assert note.left()[1][-1] == OffsetRange(RANGES_MAX - 1, 2**40, 2**40)


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x01" * 30_000], ids=["none", "short", "long"])
def test_a_file_that_is_no_note_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "note").write_bytes(content)

    assert ScanNote(tmp_path / "note").left() == ("", [])


# The receiver


def test_an_exception_of_the_scanner_leaves_the_note_where_a_scan_that_ends_removes_it(
    note: ScanNote,
) -> None:
    receiver = Receiver(ScanPlan(), fnv1a, scan=deadly_scan.scan, note=note)
    receiver.receive([a_message(0, 1)], {0: 1}, [])
    assert note.left()[1] == []

    with pytest.raises(ValueError, match="own bug"):
        receiver.receive([a_message(0, 2, deadly_scan.RAISES)], {0: 1}, [])

    assert note.left()[1] == [OffsetRange(0, 2, 2)]
    assert receiver.scans % 2 == 1


def test_poison_is_a_dead_letter_unscanned_and_whole() -> None:
    receiver = Receiver(ScanPlan(), fnv1a, scan=deadly_scan.scan)
    receiver.poison = {0: frozenset({2})}

    (batch,) = receiver.receive(
        [a_message(0, 1), a_message(0, 2, deadly_scan.RAISES), a_message(0, 3)], {0: 1}, []
    )

    assert [len(record.fragments) for record in batch.records] == [1, 0, 1]
    (bad,) = batch.records[1].bad
    assert (bad.reason, bad.spans, bad.body) == (DeadLetterReason.POISON, 1, deadly_scan.RAISES)


def test_an_offset_that_is_poison_in_one_partition_is_scanned_in_another() -> None:
    receiver = Receiver(ScanPlan(), fnv1a)
    receiver.poison = {0: frozenset({2})}

    (batch,) = receiver.receive([a_message(1, 2)], {0: 1, 1: 1}, [])

    assert len(batch.records[0].fragments) == 1


# The examination


@pytest.mark.parametrize(
    "poison", [deadly_scan.ABORTS, deadly_scan.RAISES, deadly_scan.FILLS_MEMORY]
)
def test_a_record_kills_the_child_and_the_next_one_is_scanned_by_another(poison: bytes) -> None:
    with Examiner(deadly_scan.scan, SAMPLING) as examiner:
        assert [examiner.kills(value) for value in (GOOD, poison, GOOD)] == [False, True, False]


def test_a_record_that_kills_one_child_of_two_is_no_poison(tmp_path: Path) -> None:
    value = deadly_scan.ABORTS_ONCE + str(tmp_path / "died").encode()
    with Examiner(deadly_scan.scan, SAMPLING) as examiner:
        assert not examiner.kills(value)
    assert (tmp_path / "died").exists()


def test_a_record_whose_scan_does_not_end_kills() -> None:
    with Examiner(deadly_scan.scan, SAMPLING, record_s=0.5) as examiner:
        assert examiner.kills(deadly_scan.HANGS)


def test_a_child_that_cannot_start_condemns_no_record() -> None:
    with Examiner(time.sleep, SAMPLING) as examiner, pytest.raises(NoChildError):
        examiner.kills(GOOD)


# The search


def test_one_death_is_remembered_and_proves_nothing(tmp_path: Path, note: ScanNote) -> None:
    log = Log(p0={5: deadly_scan.RAISES})
    note.begin([a_message(0, 5)])

    assert search(tmp_path, note, log) == {}
    assert log.read == []
    assert Book(tmp_path / "book", TOPIC_ID).suspects == [OffsetRange(0, 5, 5)]


def test_two_deaths_over_the_same_records_are_looked_into_and_the_culprits_remembered(
    tmp_path: Path, note: ScanNote
) -> None:
    log = Log(p0={4: GOOD, 5: deadly_scan.RAISES, 6: GOOD, 7: deadly_scan.ABORTS}, p1={1: GOOD})
    note.begin([a_message(0, 4), a_message(0, 6), a_message(1, 1)])
    search(tmp_path, note, log)
    note.begin([a_message(0, 5), a_message(0, 7)])

    assert search(tmp_path, note, log) == {0: {5, 7}}
    assert log.read == [OffsetRange(0, 5, 7)]
    assert search(tmp_path, note, log) == {0: {5, 7}}, "known to every later start"
    assert len(log.read) == 1


def test_two_deaths_over_different_records_condemn_none(tmp_path: Path, note: ScanNote) -> None:
    log = Log(p0={5: deadly_scan.RAISES, 9: deadly_scan.RAISES}, p1={5: deadly_scan.RAISES})
    for message in (a_message(0, 5), a_message(0, 9), a_message(1, 5)):
        note.begin([message])
        assert search(tmp_path, note, log) == {}
    assert log.read == []


def test_deaths_over_records_of_another_topic_count_for_nothing(
    tmp_path: Path, note: ScanNote
) -> None:
    log = Log(p0={5: deadly_scan.RAISES})
    note.begin([a_message(0, 5)])
    search(tmp_path, note, log)
    note.topic_id = "YW5vdGhlci10b3BpY3MtaWQ"
    note.begin([a_message(0, 5)])

    assert search(tmp_path, note, log) == {}
    assert log.read == []


def test_records_that_kill_no_child_are_scanned_again(tmp_path: Path, note: ScanNote) -> None:
    log = Log(p0={5: GOOD})
    for _ in range(2):
        note.begin([a_message(0, 5)])
        assert search(tmp_path, note, log) == {}
    assert log.read == [OffsetRange(0, 5, 5)]
    assert Book(tmp_path / "book", TOPIC_ID).suspects == []


@pytest.mark.parametrize("content", ["", "[]", '{"topic_id": "x"', f'{{"topic_id": "{TOPIC_ID}"}}'])
def test_a_damaged_book_is_an_empty_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "book").write_text(content)
    book = Book(tmp_path / "book", TOPIC_ID)

    assert (book.suspects, book.poison) == ([], {})


def test_the_book_does_not_grow_for_ever(tmp_path: Path) -> None:
    book = Book(tmp_path / "book", TOPIC_ID)
    book.add({0: range(POISON_MAX + 5)})
    book.write()

    known = Book(tmp_path / "book", TOPIC_ID).poison[0]
    assert (len(known), min(known)) == (POISON_MAX, 5)


# The watch


def test_a_scan_that_does_not_end_ends_the_process_and_many_that_end_do_not() -> None:
    scans = 0
    ends: list[Exit] = []
    watch = ScanWatch(lambda: scans, lambda code, _: ends.append(code))
    for scans in range(1, 4 * LOOKS_MAX, 2):  # noqa: B007 - the watch reads it
        watch.look()
    for scans in [2] * 2 * LOOKS_MAX:  # noqa: B007 - as above
        watch.look()
    assert ends == []

    scans = 7
    for _ in range(LOOKS_MAX):
        watch.look()
    assert ends == []
    watch.look()
    assert ends == [Exit.WATCHDOG]
