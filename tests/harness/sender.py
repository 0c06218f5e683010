"""Sends a load to Kafka at its own pace, in a thread, so that a test can act on the way."""

import threading
import time
from collections.abc import Iterable, Mapping, Sized

from confluent_kafka import KafkaError, Message, Producer

from tests.harness.load import Planned

SLACK_S = 0.3


class Sender:
    """Sends records at their times, keyed and partitioned as the Collector does.

    What could not be sent in time (the broker was away, the machine was busy) is sent as soon as it
    can be; `steady`: hardly more of it than the client's queue holds, for the rest the load's time
    stands still meanwhile.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        records: Iterable[Planned],
        *,
        kafka: Mapping[str, object] | None = None,
        steady: bool = False,
    ) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "fnv1a_random",  # Sarama's, by librdkafka's own account
                "enable.idempotence": True,
                "linger.ms": 5,
                "queue.buffering.max.messages": 1_000_000,
                **(kafka or {}),
            }
        )
        self._topic = topic
        self._steady = steady
        self._records = records
        self._sent = 0
        self._failures: list[str] = []
        self._enough = threading.Event()
        self._hold_at: int | None = None
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    @property
    def share_sent(self) -> float:
        """How much of the load has been handed to the client, from 0 to 1."""
        assert isinstance(self._records, Sized), "endless"
        return self._sent / len(self._records)

    @property
    def sent(self) -> int:
        """How many records have been handed to the client."""
        return self._sent

    @property
    def is_done(self) -> bool:
        """Whether all of the load has been handed to the client, or no more of it will be."""
        return not self._thread.is_alive()

    def hold_at(self, share: float) -> None:
        """Stand still there until `release`: what must come first may take its time."""
        assert isinstance(self._records, Sized), "endless"
        self._hold_at = int(share * len(self._records))

    def release(self) -> None:
        """Send the rest."""
        self._released.set()

    def stop(self) -> None:
        """Send no further records: for a load without an end."""
        self._enough.set()

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Wait until the broker has acknowledged every record."""
        self._thread.join()
        left = self._producer.flush(60)
        assert not left, f"{left} records were not delivered"
        assert not self._failures, self._failures[:3]

    def _run(self) -> None:
        started_s = time.monotonic()
        for record in self._records:
            if self._enough.is_set():
                return
            if self._sent == self._hold_at:
                began_s = time.monotonic()
                self._released.wait()
                started_s += time.monotonic() - began_s
            # An acknowledgement ends a poll before its time.
            while (early_s := started_s + record.at_s - time.monotonic()) > 0.02:
                self._producer.poll(early_s)
            if self._steady and early_s < -SLACK_S:
                started_s -= early_s + SLACK_S
            self._produce(record)
            self._sent += 1

    def _produce(self, record: Planned) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic or self._topic,
                    record.value,
                    record.key,
                    on_delivery=self._delivered,
                    headers=list(record.headers),
                )
            except BufferError:
                self._producer.poll(0.1)  # the queue is full
            else:
                break
        self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failures.append(str(error))
