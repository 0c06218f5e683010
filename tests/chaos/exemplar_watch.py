"""Watches the output while a run goes on: when could a reader read each trace?"""

import threading

from confluent_kafka import Consumer, Message, TopicPartition

from stream import clock
from tests.harness.topics import end_offsets

READ_RECORDS_MAX = 1_000
READ_WAIT_S = 0.5


class OutputWatch:
    """Reads committed records from now on, on a thread of its own.

    `readable_ms` is when the first record of each trace came, by trace id.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.readable_ms: dict[bytes, int] = {}
        self._partitions = [
            TopicPartition(topic, number, 0) for number in sorted(end_offsets(bootstrap, topic))
        ]
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "tailstream-test-watch",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
            }
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="output watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Read what is still to come, and stop."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        self._consumer.assign(self._partitions)
        try:
            messages: list[Message] = []
            while messages or not self._stopping.is_set():
                messages = self._consumer.consume(READ_RECORDS_MAX, READ_WAIT_S)
                for message in messages:
                    # A topic that was just made has no leaders for a moment. What lasts shows in
                    # what is missing in the end.
                    if message.error() is None:
                        trace_id = bytes.fromhex((message.key() or b"").decode())
                        self.readable_ms.setdefault(trace_id, clock.now_ms())
        finally:
            self._consumer.close()
