"""The account of an exporter, whoever counts in the middle of it."""

import threading

from stream.propagation.export_counts import ExportCounts, Tally

WAIT_S = 30.0


def test_a_handler_of_signals_may_end_spans_and_shut_down_in_the_middle_of_a_count() -> None:
    tally = Tally()
    seen: list[ExportCounts] = []

    class Interrupted(int):
        """A number that is interrupted while it is added, as a thread is by a signal."""

        def __radd__(self, other: int) -> int:
            tally.ended()
            seen.append(tally.counts())
            return int(self) + other

    # A thread of its own, for a lock that is not its holder's again holds it for ever.
    thread = threading.Thread(target=tally.received, args=(Interrupted(2),), daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert seen == [ExportCounts(0, 0, {}, 0, ended=1)]
    assert tally.counts() == ExportCounts(2, 0, {}, 2, ended=1)
