"""What a service of the shop is told when it is started, as JSON on its command line."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from stream.demo.shop.fate import Fates


class Service(StrEnum):
    """The shop's services, by their `service.name`."""

    GATEWAY = "gateway"
    PAYMENT = "payment"
    PSP = "psp"
    LEDGER = "ledger"
    SHIPPING = "shipping"


HTTP_PATH = (Service.GATEWAY, Service.PAYMENT, Service.PSP)
"""Whom a checkout goes through, in this order; each calls the next."""

CONSUMERS = (Service.LEDGER, Service.SHIPPING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One service's part: where it listens, whom it calls, which topics it writes and reads.

    `bootstrap`: the Kafka for the checkouts and the spans. `head_rate`: the share of traces that
    are kept at their head, None for all without a threshold. `broken`: it samples each span anew.
    """

    service: Service
    bootstrap: str
    spans_topic: str
    checkouts_topic: str
    port: int = 0
    calls_url: str = ""
    group: str = ""
    head_rate: float | None = None
    broken: bool = False
    fates: Fates = field(default_factory=Fates)

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Setup":
        """Return what `to_json` wrote."""
        told = json.loads(text)
        fates, service = Fates(**told.pop("fates")), Service(told.pop("service"))
        return cls(service=service, fates=fates, **told)
