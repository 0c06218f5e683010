"""Composition root: from settings to a Faust app with its agent, tables, timers and pages.

`tailstream worker` runs it; so does `faust -A stream.app worker`, with the settings' file named by
TAILSTREAM_CONFIG.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faust
import mode

from stream import allocator, clock, logs
from stream.exits import Exit, end_process
from stream.host import Host, HostSettings
from stream.kafka.client_settings import (
    Membership,
    connection,
    consumer_settings,
    producer_settings,
)
from stream.kafka.dead_letters import RECORD_OVERHEAD_BYTES
from stream.kafka.log_reader import LogReader
from stream.kafka.log_state import Identity
from stream.kafka.partition_log import PartitionLog, Topics
from stream.kafka.partitioner import PARTITIONERS
from stream.kafka.receive import Batch, Receiver
from stream.kafka.transactions import AtLeastOnceCommitter, Committer, TransactionalCommitter
from stream.kafka.transport import SCHEME, BatchSchema
from stream.lookout import Lookout, lookout_of
from stream.measurements import Measurements
from stream.otlp.fragment import Scanned
from stream.otlp.scan import ScanPlan, scan
from stream.poison.guard import Guard
from stream.promoting import Promoting, promoting_of
from stream.restoring import Opened
from stream.sampling.limits import Limits, Windows
from stream.sampling.matcher import Matcher
from stream.sampling.pins import PinsBudget
from stream.sampling.policies.evaluate import Policies
from stream.sampling.promotions import SecondChance
from stream.sampling.tail_sampler import TailSampler
from stream.settings.compiled import policies_of
from stream.settings.environment import environment
from stream.settings.errors import SettingsError
from stream.settings.load import load
from stream.settings.model import Settings
from stream.start import check_start, metrics_of, slot_of
from stream.state.directory import PRIVATE, StorageError
from stream.state.storage import Storage
from stream.state.tables import Tables, TailTableManager
from stream.timers import add_timers
from stream.web import add_pages
from stream.worker.partition import Delivering, Partition
from stream.worker.restore import Restore, ResumePoint

MEBIBYTE = 1024 * 1024

Scan = Callable[[bytes, ScanPlan], Scanned]


class App(faust.App):  # type: ignore[misc]  # faust is untyped
    """A Faust app with our host, which the transport drives, and the storage that bounds it."""

    host: Host
    promoting: Promoting
    storage: Storage
    lookout: Lookout | None


def start_app(settings: Settings, *, check_topics: bool = True, scan: Scan = scan) -> App:
    """Return the app of a worker that may start; the process ends where it may not.

    `scan` must be importable by its name: a child process runs it where it has killed us.
    """
    logs.configure(settings.log.level, settings.log.format)
    allocator.give_back(settings.storage.memory_bytes)
    retention_ms = check_start(settings, check_topics=check_topics)
    try:
        app = create_app(settings, retention_ms=retention_ms, scan=scan)
    except StorageError as problem:
        end_process(Exit.OPERATOR, str(problem))
    app.finalize()
    return app


def create_app(settings: Settings, *, retention_ms: int | None = None, scan: Scan = scan) -> App:
    """Return the worker's app. Nothing is connected before it is started.

    `retention_ms` is the input topic's, where it is known.
    """
    app = _faust_app(settings)
    metrics = metrics_of(settings)
    app.storage = storage = _storage(settings)
    tables = Tables(
        app, storage, app.topic(settings.topics.input, schema=BatchSchema(), acks=False)
    )
    reader = LogReader(
        connection(settings.kafka),
        group=settings.worker.group,
        topic=settings.topics.input,
        decisions_topic=settings.topics.decisions,
        needs_topic_id=settings.worker.delivery == "exactly_once",
    )
    matcher = Matcher()
    policies = policies_of(settings.tail_sampling, matcher, as_collector=settings.as_collector)
    windows = _windows(settings)
    guard = Guard(settings, scan)
    measurements = Measurements(
        metrics, retention_ms, functools.partial(_held_bytes, app), settings.lag_told_of
    )
    host = Host(
        _host_settings(settings, storage, guard),
        receiver=Receiver(
            matcher.plan(),
            PARTITIONERS[settings.topics.partitioner],
            copy_headers=settings.output.copy_headers,
            scan=scan,
            note=guard.note,
        ),
        committer=_committer(settings, lambda: app.host),
        reader=reader,
        open_log=functools.partial(_open_log, settings),
        measurements=measurements,
        open_partition=_opener(settings, tables, policies, windows),
        close_stores=functools.partial(_close, app, tables),
    )
    app.host = host
    app.promoting = promoting_of(
        settings,
        host,
        plan=matcher.plan(),
        bytes_max=storage.shares.transaction,
        metrics=metrics,
    )
    app.lookout = lookout_of(settings, host, measurements)
    policies.fleet.spread_over(lambda: host.receiver.partitions)
    _add_agent(app, host, settings)
    add_timers(app, host, app.promoting, settings.worker.commit_interval_s, app.lookout)
    add_pages(
        app,
        metrics=metrics,
        silent_s=lambda: _silent_s(host),
        ready=lambda: host.ready,
        measure=host.scraped,
    )
    return app


def _close(app: App, tables: Tables) -> None:
    if app.lookout is not None:
        app.lookout.close()
    app.promoting.close()
    tables.close()


def _faust_app(settings: Settings) -> App:
    storage = settings.storage.directory
    try:
        # Faust makes its own directory, but none above it.
        storage.mkdir(PRIVATE, parents=True, exist_ok=True)
    except OSError as problem:
        raise StorageError(
            f"storage.directory: {storage} cannot be made: {problem.strerror}; name another, or "
            "make it for this user"
        ) from problem
    return App(
        settings.worker.group,
        broker=f"{SCHEME}://kafka",
        autodiscover=False,
        datadir=str(storage / "faust"),
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        cython_optimizations=True,
        key_serializer="raw",
        value_serializer="raw",
        TableManager=TailTableManager,
        logging_config=logs.config(settings.log.level, settings.log.format),
        web_enabled=True,
        # Faust's pages look its own keys up in our tables: each request ends in a traceback.
        web_router_enabled=False,
        web_tables_enabled=False,
        web_stats_enabled=False,
        web_graph_enabled=False,
        web_bind=settings.web.host,
        web_host=settings.web.host,
        web_port=settings.web.port,
    )


def _add_agent(app: App, host: Host, settings: Settings) -> None:
    host.pending = lambda number: bool(app.consumer.pending(number))
    host.released = lambda batch: app.consumer.released(batch)  # noqa: PLW0108 - there is no consumer yet
    topic = app.topic(settings.topics.input, schema=BatchSchema(), acks=False)

    # Faust's default supervisor would swallow an exception and commit past the batch.
    @app.agent(topic, name="sampler", supervisor_strategy=mode.CrashingSupervisor)  # type: ignore[untyped-decorator]  # faust is untyped
    async def sampler(batches: Any) -> None:
        batch: Batch
        async for batch in batches:
            try:
                host.fold(batch)
            except Exception as problem:  # noqa: BLE001 - our bug: replay, never go past it
                host.failed(problem)


def _open_log(settings: Settings, number: int, wanted: Callable[[], bool]) -> PartitionLog:
    return PartitionLog(
        connection(settings.kafka),
        group=settings.worker.group,
        topics=Topics(settings.topics.input, settings.topics.decisions),
        number=number,
        wanted=wanted,
    )


def _host_settings(settings: Settings, storage: Storage, guard: Guard) -> HostSettings:
    return HostSettings(
        consumer_settings(
            settings.kafka,
            _membership(settings),
            fetched_bytes_max=storage.shares.fetched,
        ),
        settings.topics.partitioner,
        settings.worker.initial_offset,
        # The broker aborts and fences at its timeout; ours comes first, and says so.
        0.8 * settings.worker.transaction_timeout_s,
        slot_of(settings),
        storage.shares.transaction,
        guard.find,
    )


def _committer(settings: Settings, host: Callable[[], Host]) -> Committer:
    worker = settings.worker
    exactly_once = worker.delivery == "exactly_once"
    producer = producer_settings(
        settings.kafka,
        _membership(settings),
        compression=settings.output.compression,
        message_bytes_max=settings.output.message_bytes_max,
        transaction_timeout_s=worker.transaction_timeout_s if exactly_once else None,
    )
    position_group = worker.position_group_name if worker.position_group else None
    if exactly_once:
        return TransactionalCommitter(
            producer, topic=settings.topics.input, position_group=position_group
        )

    def commit_offsets(offsets: list[Any]) -> None:
        thread = host().thread
        assert thread is not None
        thread.request(lambda c: c.commit(offsets=offsets, asynchronous=False)).result()

    return AtLeastOnceCommitter(
        producer,
        topic=settings.topics.input,
        position_group=position_group,
        commit_offsets=commit_offsets,
    )


def _opener(
    settings: Settings, tables: Tables, policies: Policies, windows: Windows
) -> Callable[[int, Identity], Opened]:
    limits = Limits(
        trace_spans_max=settings.limits.trace_spans_max,
        trace_bytes_max=settings.limits.trace_bytes_max,
    )
    delivering = _delivering(settings)
    pins = PinsBudget(settings.limits.pins_max)
    second_chance = SecondChance(
        settings.promotion.late_errors, _ms(settings.promotion.late_slow_s)
    )

    def open_partition(number: int, identity: Identity) -> Opened:
        spans, decisions = tables.for_partition(number)

        def build(point: ResumePoint, restore: Restore) -> Partition:
            sampler = TailSampler(
                policies,
                windows=windows,
                limits=limits,
                budget=tables.traces,
                spans=spans,
                decisions=decisions,
                position=point.offset,
                time_ms=point.time_ms,
                dead_letters_upto=point.dead_letters_upto,
                pins=pins,
                second_chance=second_chance,
            )
            sampler.restore_pins(list(restore.pins.items()))
            return Partition(
                number,
                sampler,
                spans=spans,
                decisions=decisions,
                delivering=delivering,
                identity=identity,
                log=restore.done(),
                retention_ms=windows.decision_retention_ms,
                span_ids_bytes_max=limits.span_ids_bytes_max,
            )

        return Opened(decisions, build)

    return open_partition


def _delivering(settings: Settings) -> Delivering:
    topics, output = settings.topics, settings.output
    return Delivering(
        input_topic=topics.input,
        output_topic=topics.output,
        decisions_topic=topics.decisions,
        dead_letters_topic=topics.dead_letters,
        output_bytes_max=output.message_bytes_max - RECORD_OVERHEAD_BYTES,
        dead_letter_bytes_max=output.message_bytes_max - RECORD_OVERHEAD_BYTES,
        stamp=output.stamp,
        config=settings.policies_hash(),
        independent=settings.tail_sampling.chooses_by_hash(),
    )


def _membership(settings: Settings) -> Membership:
    worker = settings.worker
    return Membership(
        worker.group, worker.instance_id, worker.static_membership, worker.session_timeout_s
    )


def _windows(settings: Settings) -> Windows:
    sampling = settings.tail_sampling
    return Windows(
        decision_wait_ms=_ms(sampling.decision_wait_s),
        decision_wait_after_root_ms=_ms(sampling.decision_wait_after_root_received_s),
        idle_grace_ms=_ms(settings.worker.idle_grace_s),
        decision_retention_ms=_ms(settings.decisions.retention_s),
    )


def _storage(settings: Settings) -> Storage:
    storage = settings.storage
    return Storage(
        storage.directory,
        memory_bytes=storage.memory_bytes,
        disk_bytes=storage.disk_bytes,
        spans=storage.spans,
        decisions=storage.decisions,
        retention_ms=_ms(settings.decisions.retention_s),
        open_traces_max=settings.limits.open_traces_max,
    )


def _held_bytes(app: App) -> dict[str, int]:
    return {**app.storage.held_bytes(), "inbox": app.consumer.inbox_bytes()}


def _silent_s(host: Host) -> float:
    return 0.0 if host.thread is None else clock.monotonic_s() - host.thread.turned_s


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def __getattr__(name: str) -> Any:
    """`faust -A stream.app worker` asks this module for `app`; importing it needs no settings."""
    if name != "app":
        raise AttributeError(name)
    configured = os.environ.get("TAILSTREAM_CONFIG")
    try:
        settings = load(Path(configured) if configured else None, (), environment())
    except SettingsError as problem:
        end_process(Exit.OPERATOR, str(problem))
    globals()["app"] = start_app(settings)
    return globals()["app"]
