"""What becomes of a checkout, and what a service of the shop is told."""

from collections import Counter

import pytest

from stream.demo.shop.fate import Fate, Fates
from stream.demo.shop.run import Shop, policies
from stream.demo.shop.service import CONSUMERS, HTTP_PATH, Service, Setup
from stream.settings.model import Settings

TOPICS = {name: name for name in ("input", "output", "decisions", "dead_letters", "checkouts")}


def shop(*, head_rate: float | None = None, broken: Service | None = None) -> Shop:
    return Shop(
        bootstrap="here:9092",
        topics=TOPICS,
        check_topics=False,
        requests=1,
        requests_per_s=1,
        fates=Fates(slow_s=0.5),
        head_rate=head_rate,
        broken=broken,
    )


def test_the_number_of_a_checkout_decides_how_it_goes() -> None:
    one, again, other = Fates(seed=1), Fates(seed=1), Fates(seed=2)
    assert [one.of(n) for n in range(500)] == [again.of(n) for n in range(500)]
    assert [one.of(n) for n in range(500)] != [other.of(n) for n in range(500)]


def test_the_shares_are_those_that_were_asked_for() -> None:
    fates = Fates(slow_share=0.2, refused_share=0.1)
    counts = Counter(fates.of(number) for number in range(10_000))
    assert counts[Fate.SLOW] == pytest.approx(2000, rel=0.1)
    assert counts[Fate.REFUSED] == pytest.approx(1000, rel=0.1)


def test_a_slow_checkout_takes_two_seconds_if_nobody_says_otherwise() -> None:
    assert Fates().takes_s(Fate.SLOW) == 2.0
    assert Fates(slow_s=0.1).takes_s(Fate.SLOW) == 0.1
    assert Fates().takes_s(Fate.PAID) == Fates().takes_s(Fate.REFUSED) < 0.1


def test_a_service_is_told_all_that_it_needs_on_its_command_line() -> None:
    for setup in shop(head_rate=0.5, broken=Service.PSP).setups():
        assert Setup.from_json(setup.to_json()) == setup


def test_each_service_calls_the_next_and_only_one_is_broken() -> None:
    setups = {setup.service: setup for setup in shop(broken=Service.PAYMENT).setups()}
    assert set(setups) == set(Service)
    gateway, payment, psp = (setups[service] for service in HTTP_PATH)
    assert gateway.calls_url == f"http://127.0.0.1:{payment.port}/charge"
    assert payment.calls_url == f"http://127.0.0.1:{psp.port}/authorise"
    assert psp.calls_url == ""
    assert [service for service, setup in setups.items() if setup.broken] == [Service.PAYMENT]
    assert len({setups[consumer].group for consumer in CONSUMERS}) == 2


@pytest.mark.parametrize(("head_rate", "percent"), [(None, 10.0), (0.1, 5.0), (1.0, 50.0)])
def test_the_worker_takes_the_policies_and_keeps_less_of_the_rest_than_the_head(
    head_rate: float | None, percent: float
) -> None:
    made = policies(shop(head_rate=head_rate))
    settings = Settings.model_validate({"tail_sampling": {"policies": made}})
    named = [policy.name for policy in settings.tail_sampling.policies]
    assert named == ["cut", "errors", "slow", "rest"]
    assert made[2]["latency"] == {"threshold_ms": 250}
    assert made[3]["probabilistic"]["sampling_percentage"] == percent
