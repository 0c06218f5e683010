"""At the start of a worker: did the last ones die in a scan of the same records, and of which?"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from stream import logs
from stream.kafka.scan_note import OffsetRange, ScanNote
from stream.poison.book import Book
from stream.poison.examiner import Examiner, NoChildError

Poison = Mapping[int, frozenset[int]]
"""Offsets of records that must not be scanned, by partition."""
ReadRange = Callable[[OffsetRange], Iterable[tuple[int, bytes]]]
"""Returns the offsets and values of the records of a range that are still there."""

log = logs.logger("tailstream.poison")


class Search:
    """Remembers deaths in scans; after the second one over the same records, finds the culprit.

    One death proves nothing: whoever is killed from without is in a scan often enough.
    """

    def __init__(
        self,
        note: ScanNote,
        book: Path,
        *,
        read: ReadRange,
        examiner: Callable[[], Examiner],
    ) -> None:
        self._note = note
        self._book = book
        self._read = read
        self._examiner = examiner

    def run(self, topic_id: str) -> Poison:
        """Return what must not be scanned. Blocks while records are examined.

        Raises:
            OSError: the storage directory cannot be written.
            KafkaException: the broker does not answer.
        """
        book = Book(self._book, topic_id)
        noted_topic, died_over = self._note.left()
        if died_over and noted_topic == topic_id:
            self._account(book, died_over)
            # The note goes after the book is written: a death in between tells the same again.
            book.write()
        self._note.end()
        self._note.topic_id = topic_id
        return book.poison

    def _account(self, book: Book, died_over: list[OffsetRange]) -> None:
        twice = [one for one in died_over if any(map(one.overlaps, book.suspects))]
        log.error(
            "the last process died while it scanned these records",
            records=[f"{one.partition}: {one.first}-{one.last}" for one in died_over],
            times=2 if twice else 1,
        )
        if not twice:
            book.suspects = died_over
            return
        book.suspects = []
        with self._examiner() as examiner:
            for one in twice:
                self._examine(book, one, examiner)

    def _examine(self, book: Book, suspects: OffsetRange, examiner: Examiner) -> None:
        number = suspects.partition
        known = book.poison.get(number, frozenset())
        try:
            for offset, value in self._read(suspects):
                if offset not in known and examiner.kills(value):
                    log.error("poison: it kills the scanner", partition=number, offset=offset)
                    book.add({number: [offset]})
                    book.write()
        except NoChildError as problem:
            log.warning("records not examined", partition=number, reason=str(problem))
