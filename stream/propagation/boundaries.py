"""Carry the current context to where Python does not: other threads, processes, queues, callbacks.

OpenTelemetry keeps its context in a context variable. Who copies those already, and who does not:

| where the work goes | carried by |
| --- | --- |
| `await`, `asyncio.create_task`, `gather`, `TaskGroup` | Python |
| `loop.call_soon`, `call_later`, `call_soon_threadsafe` | Python |
| `asyncio.to_thread`, `asyncio.run_coroutine_threadsafe` | Python |
| `asyncio.Future.add_done_callback` | Python |
| `loop.run_in_executor` | nobody: `carried(function)`, or a `ContextExecutor` |
| `threading.Thread`, `threading.Timer` | nobody: `carried(function)` |
| `ThreadPoolExecutor`, `ProcessPoolExecutor` | nobody: `ContextExecutor(pool)` |
| `concurrent.futures.Future.add_done_callback` | nobody: `carried(callback)` |
| `queue`, `asyncio.Queue`, `multiprocessing.Queue` | nobody: `Parcel.of(work)` |
| confluent-kafka's `on_delivery`, called by whoever polls | nobody: `carried(callback)` |

One thing is carried too far: a task that lives on (a pool's worker, a refresh loop) but was started
inside a request hangs all that it ever does below that request. Start it outside of any trace:

    with attached(Context()):
        asyncio.create_task(refresh_for_ever())

Nothing here is patched in globally: what is not wrapped stays as it is.
"""

import inspect
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Generic, ParamSpec, TypeVar, cast

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, get_current_span

from stream.propagation.carry import extract, inject_http

P = ParamSpec("P")
R = TypeVar("R")
Work = TypeVar("Work")


@contextmanager
def attached(context: Context) -> Iterator[None]:
    """Make a context the current one for the length of the block."""
    token = context_api.attach(context)
    try:
        yield
    finally:
        context_api.detach(token)


def carried(function: Callable[P, R], context: Context | None = None) -> Callable[P, R]:
    """Return the function, to run under `context`, which is the one current now if not given.

        Thread(target=carried(send_mail), args=(order,)).start()
        producer.produce(topic, value, on_delivery=carried(delivered))
        await loop.run_in_executor(None, carried(render), page)

    A coroutine function stays one, and a coroutine that another function returns runs under the
    context too. What is returned for another can be pickled if the function can:
    in the other process it runs under the same trace and baggage, brought there as W3C text; other
    values of the context stay behind. Exceptions and results pass through.

    Raises:
        TypeError: a generator function. Its body runs later, wherever somebody iterates.
    """
    taken = context_api.get_current() if context is None else context
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function!r} is a generator function: use attached() inside of it")
    if inspect.iscoroutinefunction(function):
        return cast("Callable[P, R]", _carried_coroutine_function(function, taken))
    return cast("Callable[P, R]", _Carried(function, taken))


class ContextExecutor(Executor):
    """An executor whose work runs under the context that was current where it was submitted.

        pool = ContextExecutor(ThreadPoolExecutor(8))
        pool.submit(charge, order)
        await loop.run_in_executor(pool, charge, order)

    Round a `ProcessPoolExecutor` the context travels as text; each process of the pool needs a
    tracer provider of its own (`initializer=`). `shutdown` shuts the pool down that it is round.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Submit it to the pool, with the context that is current now."""
        return self._pool.submit(carried(fn), *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Executor's signature
        """Shut the pool down."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


@dataclass(frozen=True, slots=True)
class Parcel(Generic[Work]):
    """Work on its way through a queue, with the context in which it was put there.

        waiting.put(Parcel.of(order))                    # the sender

        with waiting.get().opened() as order:            # the receiver, one at a time
            ship(order)

    A receiver that takes many at once has no one parent: it links them.

        links = [Link(parcel.span_context) for parcel in batch]
        with tracer.start_as_current_span("ship", links=links): ...

    It can be pickled if the work can, for queues between processes; see `carried`.
    """

    work: Work
    context: Context

    @classmethod
    def of(cls, work: Work) -> "Parcel[Work]":
        """Pack the work with the context that is current now."""
        return cls(work, context_api.get_current())

    @property
    def span_context(self) -> SpanContext:
        """The span that was current where it was packed; not valid if there was none."""
        return get_current_span(self.context).get_span_context()

    @contextmanager
    def opened(self) -> Iterator[Work]:
        """Give the work, under its context for the length of the block."""
        with attached(self.context):
            yield self.work

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked_parcel, (self.work, _as_text(self.context))


@dataclass(frozen=True, slots=True)
class _Carried:
    function: Callable[..., Any]
    context: Context

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with attached(self.context):
            result = self.function(*args, **kwargs)
        return _awaited(result, self.context) if inspect.iscoroutine(result) else result

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked_function, (self.function, _as_text(self.context))


def _carried_coroutine_function(
    function: Callable[..., Coroutine[Any, Any, R]], context: Context
) -> Callable[..., Coroutine[Any, Any, R]]:
    @wraps(function)
    async def under_context(*args: Any, **kwargs: Any) -> R:
        return await _awaited(function(*args, **kwargs), context)

    return under_context


async def _awaited(work: Coroutine[Any, Any, R], context: Context) -> R:
    with attached(context):
        return await work


def _unpacked_parcel(work: Work, headers: dict[str, str]) -> Parcel[Work]:
    return Parcel(work, _from_text(headers))


def _unpacked_function(function: Callable[..., Any], headers: dict[str, str]) -> _Carried:
    return _Carried(function, _from_text(headers))


def _as_text(context: Context) -> dict[str, str]:
    # By our own propagator: both ends are ours, so the application's choice has no part in it.
    return inject_http(None, context)


def _from_text(headers: dict[str, str]) -> Context:
    return extract(headers)  # below the root: the receiving process's own must not shine through
