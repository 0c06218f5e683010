"""What a worker looks after besides its own partitions: those of others that stand still."""

from collections.abc import Awaitable, Callable, Iterator

from stream import clock
from stream.host import Host
from stream.kafka.client_settings import connection
from stream.kafka.group_members import GroupMembers
from stream.kafka.position_reader import PositionReader
from stream.measurements import Measurements
from stream.settings.model import Settings
from stream.unattended import Unattended
from stream.unclaimed import Unclaimed

LOOK_INTERVAL_S = 1.0


class Lookout:
    """Tells the lag of partitions that stand still, and has those divided that are nobody's."""

    def __init__(
        self, unattended: Unattended, unclaimed: Unclaimed | None, interval_s: float
    ) -> None:
        self._unattended = unattended
        self._unclaimed = unclaimed
        self._interval_s = interval_s

    def looks(self) -> Iterator[tuple[float, Callable[[], Awaitable[None]]]]:
        """Yield what is to be done again and again, and each how often, in seconds."""
        yield self._interval_s, self._unattended.look
        if self._unclaimed is not None:
            yield self._interval_s, self._unclaimed.look

    def close(self) -> None:
        """Leave the broker."""
        self._unattended.close()
        if self._unclaimed is not None:
            self._unclaimed.close()


def lookout_of(settings: Settings, host: Host, measurements: Measurements) -> Lookout | None:
    """Return a worker's lookout; None without the position group, which it looks at."""
    worker = settings.worker
    if not worker.position_group:
        return None
    unattended = Unattended(
        PositionReader(
            connection(settings.kafka),
            group=worker.position_group_name,
            topic=settings.topics.input,
        ),
        numbers=lambda: set(range(host.receiver.partitions)) - host.worker.partitions.keys(),
        tell=lambda waiting: measurements.unattended(waiting, clock.now_ms()),
    )
    # Others are thrown out when they die between the two steps, and their partitions divided.
    unclaimed = None
    if worker.static_membership:
        unclaimed = _unclaimed(settings, host, unattended, measurements)
    # A look sees what has moved since the last one, so there are commits between them.
    return Lookout(unattended, unclaimed, max(LOOK_INTERVAL_S, 2 * worker.commit_interval_s))


def _unclaimed(
    settings: Settings, host: Host, unattended: Unattended, measurements: Measurements
) -> Unclaimed:
    worker = settings.worker
    members = GroupMembers(
        connection(settings.kafka), group=worker.group, topic=settings.topics.input
    )

    def rejoin() -> None:
        assert host.thread is not None, "its member id was known"
        measurements.rejoined()
        # Not ready until the group has answered anew.
        host.ownership.lost(left=0)
        host.thread.rejoin()

    return Unclaimed(
        members,
        standing=lambda: unattended.standing,
        member_id=lambda: host.thread.member_id if host.thread else None,
        divided_s=lambda: host.thread.divided_s if host.thread else 0.0,
        rejoin=rejoin,
        now_s=clock.monotonic_s,
        # Whoever gives a partition up ends a transaction first; who dies meanwhile is thrown out.
        patience_s=worker.session_timeout_s + worker.transaction_timeout_s,
    )
