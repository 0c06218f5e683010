from collections.abc import Sequence

from stream.kafka.commit import Produce
from stream.sampling._decision import Context
from stream.sampling.delivery import Delivery, Settled, Undelivered
from stream.worker.decision_log import DecisionLog
from stream.worker.partition import Partition, PartitionPlan
from stream.worker.tally import Tally

class Decisions:
    def __init__(self, topic: str, partition: int, context: Context) -> None: ...
    def record(self, delivery: Delivery) -> Produce | None: ...

def render(
    partition: Partition, decisions: Decisions, taken: Sequence[Undelivered], plan: PartitionPlan
) -> None: ...
def append_all(log: DecisionLog, settled: Sequence[Settled], config: str) -> None: ...
def tally(of: Tally, settled: Sequence[Settled], now_ms: int) -> None: ...
