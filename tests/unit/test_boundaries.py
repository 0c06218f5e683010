"""Each boundary twice: the orphan without what carries the context over it, the tree with it."""

import asyncio
import multiprocessing
import pickle
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from confluent_kafka import Producer
from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link

from stream.kafka.embedded import EmbeddedBroker
from stream.propagation.boundaries import ContextExecutor, Parcel, attached, carried
from stream.propagation.carry import extract, inject_http
from tests.harness.other_process import Told, answer_one, child_span, nothing

WAIT_S = 60
SPAWNED = multiprocessing.get_context("spawn")


class Traced:
    """A provider of the test's own, and the spans that ended."""

    def __init__(self) -> None:
        self.ended = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.ended))
        self.tracer = provider.get_tracer("test")

    def parent(self) -> AbstractContextManager[Any]:
        return self.tracer.start_as_current_span("parent")

    def work(self, *_: object) -> None:
        """Be what is done beyond the boundary."""
        with self.tracer.start_as_current_span("child"):
            pass

    async def async_work(self) -> None:
        self.work()

    def span(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.ended.get_finished_spans() if span.name == name]
        return found

    def child_is_orphan(self) -> bool:
        child, parent = self.span("child"), self.span("parent")
        return child.parent is None and child.context.trace_id != parent.context.trace_id

    def child_hangs_below_parent(self) -> bool:
        child, parent = self.span("child"), self.span("parent")
        same_trace = child.context.trace_id == parent.context.trace_id
        below = child.parent is not None and child.parent.span_id == parent.context.span_id
        return same_trace and below


@pytest.fixture
def traced() -> Traced:
    return Traced()


@dataclass(frozen=True)
class Hands:
    """What a function and a pool are wrapped in on their way over a boundary."""

    function: Callable[[Any], Any]
    pool: Callable[[Executor], Executor]


def as_it_is(something: Any) -> Any:
    return something


BARE = Hands(as_it_is, as_it_is)
CARRYING = Hands(carried, ContextExecutor)


def thread(traced: Traced, hands: Hands) -> None:
    with traced.parent():
        started = threading.Thread(target=hands.function(traced.work))
        started.start()
        started.join(WAIT_S)


def timer(traced: Traced, hands: Hands) -> None:
    with traced.parent():
        started = threading.Timer(0, hands.function(traced.work))
        started.start()
        started.join(WAIT_S)


def submit(traced: Traced, hands: Hands) -> None:
    with hands.pool(ThreadPoolExecutor(1)) as pool, traced.parent():
        pool.submit(traced.work).result(WAIT_S)


def map_(traced: Traced, hands: Hands) -> None:
    with hands.pool(ThreadPoolExecutor(1)) as pool, traced.parent():
        assert list(pool.map(traced.work, ["once"])) == [None]


def done_callback(traced: Traced, hands: Hands) -> None:
    finish = threading.Event()
    with ThreadPoolExecutor(1) as pool, traced.parent():
        future = pool.submit(finish.wait, WAIT_S)
        future.add_done_callback(hands.function(traced.work))
        finish.set()
        pool.shutdown()


def run_in_default_executor(traced: Traced, hands: Hands) -> None:
    async def main() -> None:
        with traced.parent():
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, hands.function(traced.work))

    asyncio.run(main())


def run_in_executor(traced: Traced, hands: Hands) -> None:
    async def main() -> None:
        with hands.pool(ThreadPoolExecutor(1)) as pool, traced.parent():
            await asyncio.get_running_loop().run_in_executor(pool, traced.work)

    asyncio.run(main())


def delivery_callback(traced: Traced, hands: Hands) -> None:
    with EmbeddedBroker() as broker:
        broker.create_topic("boundaries")
        producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
        with traced.parent():
            producer.produce("boundaries", b"", on_delivery=hands.function(traced.work))
        assert producer.flush(WAIT_S) == 0  # here it is called: the parent is over


def coroutine_function(traced: Traced, hands: Hands) -> None:
    with traced.parent():
        handler = hands.function(traced.async_work)
    asyncio.run(handler())


def function_that_returns_a_coroutine(traced: Traced, hands: Hands) -> None:
    def fetch() -> Coroutine[Any, Any, None]:
        return traced.async_work()

    with traced.parent():
        handler = hands.function(fetch)
    asyncio.run(handler())


NOBODY_CARRIES = [
    *(thread, timer, submit, map_, done_callback, run_in_default_executor, run_in_executor),
    *(delivery_callback, coroutine_function, function_that_returns_a_coroutine),
]


@pytest.mark.parametrize("boundary", NOBODY_CARRIES, ids=lambda one: one.__name__)
def test_what_crosses_a_boundary_as_it_is_is_an_orphan(
    traced: Traced, boundary: Callable[[Traced, Hands], None]
) -> None:
    boundary(traced, BARE)
    assert traced.child_is_orphan()


@pytest.mark.parametrize("boundary", NOBODY_CARRIES, ids=lambda one: one.__name__)
def test_what_is_carried_over_a_boundary_hangs_below_the_span_it_was_handed_over_in(
    traced: Traced, boundary: Callable[[Traced, Hands], None]
) -> None:
    boundary(traced, CARRYING)
    assert traced.child_hangs_below_parent()


async def create_task(traced: Traced) -> None:
    await asyncio.create_task(traced.async_work())


async def gather(traced: Traced) -> None:
    await asyncio.gather(traced.async_work())


async def task_group(traced: Traced) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(traced.async_work())


async def to_thread(traced: Traced) -> None:
    await asyncio.to_thread(traced.work)


async def call_soon(traced: Traced) -> None:
    asyncio.get_running_loop().call_soon(traced.work)
    await asyncio.sleep(0)


async def call_later(traced: Traced) -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.call_later(0, traced.work)
    loop.call_later(0, done.set_result, None)
    await done


async def call_soon_threadsafe(traced: Traced) -> None:
    asyncio.get_running_loop().call_soon_threadsafe(traced.work)
    await asyncio.sleep(0)


async def future_callback(traced: Traced) -> None:
    done = asyncio.get_running_loop().create_future()
    done.add_done_callback(traced.work)
    with attached(Context()):
        done.set_result(None)
    await asyncio.sleep(0)


async def run_coroutine_threadsafe(traced: Traced) -> None:
    loop = asyncio.get_running_loop()
    from_elsewhere = carried(partial(asyncio.run_coroutine_threadsafe, traced.async_work(), loop))
    with attached(Context()), ThreadPoolExecutor(1) as pool:
        future = await loop.run_in_executor(pool, from_elsewhere)
    await asyncio.wrap_future(future)


PYTHON_CARRIES = [
    *(create_task, gather, task_group, to_thread, call_soon, call_later, call_soon_threadsafe),
    *(future_callback, run_coroutine_threadsafe),
]


@pytest.mark.parametrize("boundary", PYTHON_CARRIES, ids=lambda one: one.__name__)
def test_python_itself_carries_the_context_into(
    traced: Traced, boundary: Callable[[Traced], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        with traced.parent():
            await boundary(traced)

    asyncio.run(main())
    assert traced.child_hangs_below_parent()


def test_a_task_started_in_a_request_hangs_its_later_work_below_it_unless_started_outside(
    traced: Traced,
) -> None:
    async def main(outside: Callable[[], AbstractContextManager[None]]) -> None:
        request_is_over = asyncio.Event()

        async def worker() -> None:
            await request_is_over.wait()
            traced.work()

        with traced.parent(), outside():
            task = asyncio.create_task(worker())
        request_is_over.set()
        await task

    asyncio.run(main(lambda: attached(Context())))
    assert traced.child_is_orphan()

    traced.ended.clear()
    asyncio.run(main(lambda: attached(baggage.set_baggage("within", "the request"))))
    assert traced.child_hangs_below_parent()


# Queues.


def test_work_that_is_put_into_a_queue_bare_is_an_orphan(traced: Traced) -> None:
    waiting: queue.Queue[Callable[[], None]] = queue.Queue()
    with traced.parent():
        waiting.put(traced.work)
    waiting.get()()
    assert traced.child_is_orphan()


def test_work_in_a_parcel_hangs_below_the_span_it_was_put_into_the_queue_in(traced: Traced) -> None:
    waiting: queue.Queue[Parcel[Callable[[], None]]] = queue.Queue()
    with traced.parent():
        waiting.put(Parcel.of(traced.work))
    with waiting.get().opened() as work:
        work()
    assert traced.child_hangs_below_parent()


def test_the_worker_of_an_asyncio_queue_sees_each_parcels_own_context(traced: Traced) -> None:
    async def worker(waiting: asyncio.Queue[Parcel[str]]) -> None:
        for _ in range(2):
            with (await waiting.get()).opened() as name, traced.tracer.start_as_current_span(name):
                await asyncio.sleep(0)

    async def main() -> None:
        waiting: asyncio.Queue[Parcel[str]] = asyncio.Queue()
        task = asyncio.create_task(worker(waiting))
        for number in (1, 2):
            with traced.tracer.start_as_current_span(f"put {number}"):
                await waiting.put(Parcel.of(f"got {number}"))
        await task

    asyncio.run(main())
    for number in (1, 2):
        parent = traced.span(f"got {number}").parent
        assert parent is not None
        assert parent.span_id == traced.span(f"put {number}").context.span_id


def test_a_batch_of_parcels_is_linked_to_the_spans_they_were_put_in(traced: Traced) -> None:
    batch = []
    for number in (1, 2):
        with traced.tracer.start_as_current_span(f"put {number}"):
            batch.append(Parcel.of(number))
    links = [Link(parcel.span_context) for parcel in batch]
    with traced.tracer.start_as_current_span("ship", links=links):
        pass

    ship = traced.span("ship")
    linked = [link.context.span_id for link in ship.links]
    assert linked == [traced.span(f"put {number}").context.span_id for number in (1, 2)]
    assert ship.parent is None


# Other processes.


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Give a pool whose one process was started outside of any span."""
    with ProcessPoolExecutor(1, mp_context=SPAWNED) as pool:
        pool.submit(nothing).result(WAIT_S)
        yield pool


def told_by_pool(traced: Traced, pool: Executor) -> Told:
    with traced.parent(), attached(baggage.set_baggage("shop", "Ulm")):
        return pool.submit(child_span).result(WAIT_S)


def test_work_of_a_process_pool_is_an_orphan(
    traced: Traced, processes: ProcessPoolExecutor
) -> None:
    trace_id, parent_id, shop = told_by_pool(traced, processes)
    assert trace_id != traced.span("parent").context.trace_id
    assert (parent_id, shop) == (None, None)


def test_work_of_a_process_pool_behind_a_context_executor_is_in_the_tree_with_its_baggage(
    traced: Traced, processes: ProcessPoolExecutor
) -> None:
    told = told_by_pool(traced, ContextExecutor(processes))
    parent = traced.span("parent").context
    assert told == (parent.trace_id, parent.span_id, "Ulm")


def told_by_queue(traced: Traced, pack: Callable[[str], Any]) -> Told:
    asked, answers = SPAWNED.Queue(), SPAWNED.Queue()
    process = SPAWNED.Process(target=answer_one, args=(asked, answers))
    process.start()
    with traced.parent(), attached(baggage.set_baggage("shop", "Ulm")):
        asked.put(pack("order"))
    told: Told = answers.get(timeout=WAIT_S)
    process.join(WAIT_S)
    return told


def test_work_from_a_queue_between_processes_is_an_orphan(traced: Traced) -> None:
    trace_id, parent_id, shop = told_by_queue(traced, as_it_is)
    assert trace_id != traced.span("parent").context.trace_id
    assert (parent_id, shop) == (None, None)


def test_a_parcel_from_a_queue_between_processes_is_in_the_tree(traced: Traced) -> None:
    told = told_by_queue(traced, Parcel.of)
    parent = traced.span("parent").context
    assert told == (parent.trace_id, parent.span_id, "Ulm")


def test_a_pickled_parcel_keeps_flags_and_a_tracestate_of_level_2() -> None:
    headers = {"traceparent": f"00-{'4b' * 16}-{'5a' * 8}-03", "tracestate": "1st@a@b=x,ot=th:8"}
    parcel = pickle.loads(pickle.dumps(Parcel("order", extract(headers))))
    assert inject_http(None, parcel.context) == headers
    assert parcel.work == "order"
    assert parcel.span_context.is_remote


# What is wrapped stays what it was.


def test_results_arguments_and_exceptions_pass_through_a_carried_function() -> None:
    assert carried(divmod)(7, 3) == (2, 1)
    assert carried(sorted)([2, 1], reverse=True) == [2, 1]
    with pytest.raises(ZeroDivisionError):
        carried(divmod)(1, 0)


def test_the_context_before_a_carried_call_is_back_after_it_even_if_it_raised() -> None:
    def failing() -> None:
        raise KeyError

    taken = baggage.set_baggage("shop", "Ulm")
    with pytest.raises(KeyError):
        carried(failing, taken)()
    assert baggage.get_baggage("shop") is None
    assert carried(baggage.get_baggage, taken)("shop") == "Ulm"


def test_a_coroutine_function_stays_one(traced: Traced) -> None:
    assert asyncio.iscoroutinefunction(carried(traced.async_work))
    assert not asyncio.iscoroutinefunction(carried(traced.work))


def test_a_generator_function_is_refused_as_its_body_would_run_elsewhere() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match=r"use attached\(\) inside"):
        carried(numbers)


def test_one_carried_function_may_run_in_many_threads_at_once(traced: Traced) -> None:
    together = threading.Barrier(4)

    def work() -> None:
        together.wait(WAIT_S)
        traced.work()

    with traced.parent():
        one = carried(work)
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(one) for _ in range(4)]:
            future.result(WAIT_S)

    children = [span for span in traced.ended.get_finished_spans() if span.name == "child"]
    parents = {child.parent.span_id for child in children if child.parent}
    assert len(children) == 4
    assert parents == {traced.span("parent").context.span_id}


def test_a_context_executor_shuts_down_the_pool_that_it_is_round() -> None:
    pool = ThreadPoolExecutor(1)
    ContextExecutor(pool).shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(nothing)
