from collections.abc import Sequence

from stream.kafka.commit import Produce
from stream.sampling._decision import Context
from stream.sampling.delivery import Delivery, Settled, Undelivered
from stream.sampling.stores import SpanStore
from stream.worker.decision_log import DecisionLog
from stream.worker.partition import Delivering, Partition, PartitionPlan
from stream.worker.tally import Tally

class Renderer:
    def __init__(
        self,
        partition: Partition,
        spans: SpanStore,
        delivering: Delivering,
        context: Context,
        span_ids_bytes_max: int,
    ) -> None: ...
    def render(self, taken: Sequence[Undelivered], plan: PartitionPlan) -> None: ...
    def record(self, delivery: Delivery) -> Produce | None: ...

def append_all(log: DecisionLog, settled: Sequence[Settled], config: str) -> None: ...
def tally(of: Tally, settled: Sequence[Settled], now_ms: int) -> None: ...
