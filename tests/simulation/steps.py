"""What can happen in a simulation, one step at a time: values that can be replayed, and words."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

WORDS = {
    # What arrives
    "arrive": "partition {number}: {record} arrives",
    "arrive_foreign": "partition {number}: {record} arrives in a foreign producer's transaction",
    "end_foreign": "partition {number}: the foreign transaction {committed}",
    "pass_time": "{count} ms pass on the wall clock",
    # What a worker does
    "poll": "{process} polls partition {number} for {count} records",
    "fold": "{process} folds the oldest polled batch",
    "idle": "{process} lets the wall clock cut",
    "begin": "{process} plans a transaction",
    "turn": "{process} takes its transaction a phase further",
    "promote": "{process} reads on for promotions of partition {number}, {count} records",
    "restore": "{process} restores partition {number} by a step",
    "notice": "{process} is told by the group what it has or has lost",
    "call_back": "{process} goes on letting partitions go",
    # What whoever runs the workers, and the group's coordinator, do
    "restart": "slot {slot} is started again",
    "wake": "{process} wakes up",
    "bury": "the sessions of dead members expire",
    # Faults
    "crash": "{process} is killed",
    "crash_in_flight": "{process} is killed with its commit on the way",
    "commit_lands": "the commit of the dead process of slot {slot} lands",
    "terminate": "{process} begins to leave",
    "rebalance": "the group rebalances: partitions to slots {owners}",
    "abort": "the transaction of {process} is aborted",
    "unanswered": "the commit of {process} is not answered, it {happened}",
    "pause": "{process} is paused",
    "reading_fails": "{process}: reading for promotions of partition {number} begins anew",
    "expire_sessions": "the sessions of the dead and the paused expire",
    "expire_transaction": "the coordinator times out the transaction of slot {slot}",
    "usurp": "a second process is started in slot {slot}",
    "drop_hints": "partition {number}: the metadata becomes {detail}",
    "retain": "partition {number}: retention deletes the records below {count}",
    "truncate_decisions": "partition {number}: the decisions below {count} are deleted",
    "recreate_decisions": "partition {number}: the decisions topic is made anew",
    "foreign_decision": "partition {number}: another group decides on trace {count}",
    "grow": "a partition is added",
    "damage": "the local database of slot {slot} is {detail}",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a name of `WORDS` and what it concerns. Where that is not there, nothing happens.

    `nth` tells processes of one slot apart: 0 the older, 1 the newer. `number` is a partition.
    """

    what: str
    slot: int = 0
    nth: int = 0
    number: int = 0
    count: int = 0
    detail: str = ""
    owners: tuple[int, ...] = ()

    def words(self, records: list[list[str]]) -> str:
        """Say it in words; `records[partition][index]` describes what arrives."""
        template = WORDS[self.what]
        record = records[self.number][self.count] if "{record}" in template else ""
        return template.format(
            process=f"slot {self.slot}" + (", its second process," if self.nth else ""),
            record=record,
            committed="commits" if self.count else "aborts",
            happened="happened" if self.count else "did not happen",
            slot=self.slot,
            number=self.number,
            count=self.count,
            detail=self.detail,
            owners=self.owners,
        )


def in_words(steps: Iterable[Step], records: list[list[str]]) -> str:
    """List steps, a line each; what repeats is said once."""
    lines = []
    for line, same in groupby(step.words(records) for step in steps):
        times = len(list(same))
        lines.append(f"  {line}, {times} times" if times > 1 else f"  {line}")
    return "\n".join(lines)
