"""Recall on a real Kafka: each of its steps holds, and nothing of it stays there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

pytestmark = pytest.mark.integration

COMMAND = Path(sys.executable).with_name("tailstream")


def test_every_step_of_recall_holds_on_a_real_kafka(kafka: str) -> None:
    topics_before = topics_of_demos(kafka)
    options = ("--kafka", kafka, "--checkouts", "1200", "--rate", "100", "--seed", "3")
    # Both signs of a Prometheus are left as they are: where there is one, it takes part.
    ended = subprocess.run(
        [str(COMMAND), "demo", "recall", *options],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.endswith("Every step holds.\n")
    for letter in "abcd":
        assert f"({letter}) " in ended.stdout
    assert "4 of 4 slow ones kept whole" in ended.stdout
    assert "1 of 20,000 checkouts" in ended.stdout
    assert topics_of_demos(kafka) <= topics_before


def topics_of_demos(kafka: str) -> set[str]:
    topics = AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics
    return {topic for topic in topics if topic.startswith("demo_")}
