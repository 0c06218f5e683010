"""`tailstream demo shop` on a real Kafka: whole trees, linked hops, thresholds, named faults."""

import re
import subprocess

import pytest
from confluent_kafka.admin import AdminClient

from tests.harness.worker import COMMAND

pytestmark = pytest.mark.integration

TIMEOUT_S = 240.0
SMALL = ("--requests", "80", "--rate", "20", "--slow-s", "0.6")


def shop(kafka: str | None, *options: str, code: int = 0) -> str:
    where = ["--kafka", kafka] if kafka else []
    done = subprocess.run(
        [str(COMMAND), "demo", "shop", *where, *SMALL, *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def topics_of(kafka: str) -> set[str]:
    return set(AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=30).topics)


def groups_of(kafka: str) -> set[str]:
    listed = AdminClient({"bootstrap.servers": kafka}).list_consumer_groups().result(30)
    return {group.group_id for group in listed.valid}


def test_every_tree_is_whole_every_hop_linked_and_nothing_is_left_behind(kafka: str) -> None:
    topics, groups = topics_of(kafka), groups_of(kafka)

    told = shop(kafka)

    assert "80 of 80 unbroken over HTTP (100 %), 0 orphans" in told
    counted = re.search(r"(\d+) messages, (\d+) of (\d+) hops linked", told)
    assert counted is not None
    messages, linked, hops = map(int, counted.groups())
    assert linked == hops == 2 * messages > 100
    assert "as it should be" in told
    assert not {name for name in topics_of(kafka) - topics if "checkouts" in name}
    assert not {name for name in groups_of(kafka) - groups if "checkouts" in name}


def test_it_plays_on_an_embedded_broker_as_well() -> None:
    assert "80 of 80 unbroken over HTTP (100 %), 0 orphans" in shop(None)


def test_the_service_that_cuts_traces_is_found_from_the_spans(kafka: str) -> None:
    told = shop(kafka, "--broken", "payment")

    assert "by       payment: " in told
    assert "psp: " not in told
    assert "not complete" in told
    assert re.search(r"[1-9]\d* by cut", told)


def test_a_head_s_threshold_is_raised_by_the_tail_s_share_and_left_for_errors(kafka: str) -> None:
    told = shop(kafka, "--head-rate", "0.5", "--requests", "200", "--rate", "40")

    assert re.search(r"kept by rest +\w+: ot=th:8 -> ot=th:c +raised", told)
    assert re.search(r"kept by (errors|slow) +\w+: ot=th:8 -> ot=th:8 +left alone", told)
    assert "as it should be" in told


def test_a_trace_of_the_shop_that_was_kept_is_drawn_by_show(kafka: str) -> None:
    told = shop(kafka, "--keep")
    command = re.search(r"tailstream (show .*)", told)
    left = re.search(r"Left on the cluster: (.*)", told)
    assert command is not None
    assert left is not None
    try:
        drawn = subprocess.run(
            [str(COMMAND), *command[1].split()],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        ).stdout
        for line in ("POST /checkout", "POST /charge", "POST /authorise", "links"):
            assert line in drawn
    finally:
        admin = AdminClient({"bootstrap.servers": kafka})
        for deleted in admin.delete_topics(left[1].split(", ")).values():
            deleted.result(30)
