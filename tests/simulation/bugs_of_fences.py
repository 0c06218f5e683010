"""Planted bugs of what keeps a zombie out."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from stream.kafka.log_state import LogState
from stream.testing.driver import Driver
from stream.testing.log import Broker, Group, Membership
from stream.worker.transaction import Transaction
from tests.simulation.bug import Patch, bug


@bug
def the_group_fences_nobody(patch: Patch) -> None:
    patch.setattr(Group, "check", lambda *_: None)


@bug
def a_producer_fences_nobody(patch: Patch) -> None:
    transaction = Broker._transaction

    def lenient(self: Broker, session: Any) -> Any:
        session = dataclasses.replace(session, epoch=self._epochs[session.transactional_id])
        return transaction(self, session)

    patch.setattr(Broker, "_transaction", lenient)


@bug
def offsets_are_read_while_a_transaction_holds_them(patch: Patch) -> None:
    log_state = Broker.log_state
    patch.setattr(Broker, "stable", lambda *_: True)

    def to_the_stable_end(self: Broker, number: int) -> LogState:
        end = self.topics["decisions"][number].stable_end
        return dataclasses.replace(log_state(self, number), decisions_end=end)

    patch.setattr(Broker, "log_state", to_the_stable_end)


@bug
def a_blank_membership_is_sent_which_a_group_accepts(patch: Patch) -> None:
    phases, check = Driver._phases, Group.check

    def blank(self: Driver, planned: Transaction, _: Membership | None) -> Iterator[None]:
        return phases(self, planned, None)

    patch.setattr(Driver, "_phases", blank)
    patch.setattr(Group, "check", lambda self, member: member and check(self, member))
