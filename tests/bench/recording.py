"""What the stages call of one another, recorded once to be replayed by itself."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.sampling.policies.evaluate import Judgement
from stream.sampling.trace import OpenTrace
from stream.state.memory import MemorySpanStore
from stream.worker.transaction import Transaction

StoreCall = tuple[int, str, tuple[Any, ...]]
"""(partition, method of its span store, arguments)."""


@dataclass(slots=True)
class Recording:
    """A pass over the corpus. `calls` are the stores', in their order, by the phase they fell in.

    `judged` are the traces at their cut, with the bytes of their bodies.
    """

    calls: list[tuple[str, list[StoreCall]]] = field(default_factory=list)
    judged: list[tuple[OpenTrace, int]] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What is called inside belongs to this phase."""
        self.calls.append((name, []))
        yield

    def judge(self, judge: Callable[..., Judgement]) -> Callable[..., Judgement]:
        """Return `Policies.judge` that keeps what it was asked."""

        def recorded(trace: OpenTrace, *, body_bytes: int = 0, due_ms: int = 0) -> Judgement:
            self.judged.append((trace, body_bytes))
            return judge(trace, body_bytes=body_bytes, due_ms=due_ms)

        return recorded


class RecordingSpanStore:
    """A `SpanStore` in memory that keeps what it was asked."""

    def __init__(self, recording: Recording, partition: int) -> None:
        self._recording = recording
        self._partition = partition
        self._spans = MemorySpanStore()

    def put(self, bodies: Sequence[tuple[bytes, int, bytes]]) -> None:
        self._asked("put", bodies)
        self._spans.put(bodies)

    @property
    def in_memory(self) -> None:
        """Nothing: every body is to come by `put`, and to be recorded."""

    def get(self, trace_id: bytes, offsets: Sequence[int]) -> list[bytes]:
        self._asked("get", trace_id, list(offsets))
        return self._spans.get(trace_id, offsets)

    def delete(self, trace_id: bytes, offsets: Sequence[int]) -> None:
        self._asked("delete", trace_id, list(offsets))
        self._spans.delete(trace_id, offsets)

    def discard_below(self, offset: int) -> None:
        self._asked("discard_below", offset)
        self._spans.discard_below(offset)

    def lowest_affordable(self) -> int:
        return self._spans.lowest_affordable()

    def held_bytes(self) -> Mapping[str, int]:
        return self._spans.held_bytes()

    def close(self) -> None:
        self._spans.close()

    def _asked(self, name: str, *args: Any) -> None:
        self._recording.calls[-1][1].append((self._partition, name, args))
