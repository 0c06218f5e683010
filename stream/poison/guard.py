"""What stands between a worker and poison: the note, the search, and their files."""

import functools
from collections.abc import Callable
from typing import Any

from stream import logs
from stream.kafka.client_settings import connection
from stream.kafka.range_reader import read_range
from stream.kafka.scan_note import ScanNote
from stream.poison.examiner import Examiner
from stream.poison.search import Poison, Search
from stream.settings.model import Settings

log = logs.logger("tailstream.poison")


class Guard:
    """The guard of one worker slot; without a directory to write to there is none, and it says so.

    `note` is for the receiver, None where it cannot be written.
    """

    def __init__(self, settings: Settings, scan: Callable[..., Any]) -> None:
        directory, slot = settings.storage.directory, settings.worker.instance_id
        self.note: ScanNote | None = None
        self._search: Search | None = None
        try:
            self.note = ScanNote(directory / f"scanning-{slot}")
        except OSError as problem:
            self._unguarded(problem)
            return
        self._search = Search(
            self.note,
            directory / f"poison-{slot}.json",
            read=functools.partial(read_range, connection(settings.kafka), settings.topics.input),
            examiner=functools.partial(
                Examiner, scan, settings.tail_sampling, as_collector=settings.as_collector
            ),
        )

    def find(self, topic_id: str) -> Poison:
        """Return what must not be scanned. See `Search.run`; a directory that fails costs that."""
        if self._search is None:
            return {}
        try:
            return self._search.run(topic_id)
        except OSError as problem:
            self._unguarded(problem)
            return {}

    def _unguarded(self, problem: OSError) -> None:
        log.warning(
            "a record that kills the scanner would end this worker again and again: "
            "storage.directory cannot be written",
            reason=str(problem),
        )
