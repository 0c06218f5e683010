"""What is said of topics: one row per way in which they can be wrong."""

from dataclasses import replace

import pytest

from stream.kafka.topic_rules import Finding, Level, Needs, check, plan_missing
from stream.kafka.topics import TopicFacts, TopicPlan

NEEDS = Needs(
    input="spans",
    output="kept",
    decisions="fates",
    dead_letters="dead",
    message_bytes_max=1_000_000,
    bootstrap="kafka:9092",
)
GOOD = TopicFacts(
    name="",
    topic_id="id",
    partitions=8,
    replication_factor=3,
    cleanup_policy="delete",
    timestamp_type="LogAppendTime",
    retention_ms=3_600_000,
    retention_bytes=-1,
    max_message_bytes=1_048_588,
)


BESIDE = replace(NEEDS, metrics="metrics", unkeyed="raw", decisions_retention_ms=600_000)


def cluster(**changes: dict[str, object]) -> dict[str, TopicFacts]:
    """All topics as they should be, but for the changes given by role."""
    return {
        name: replace(GOOD, name=name, **changes.get(role, {}))  # type: ignore[arg-type]  # fields by name
        for role, name in BESIDE.all_roles().items()
    }


@pytest.mark.parametrize("needs", [NEEDS, BESIDE])
def test_topics_as_they_should_be_give_no_finding(needs: Needs) -> None:
    assert check(cluster(), needs) == []


@pytest.mark.parametrize(
    ("role", "changes", "said"),
    [
        ("metrics", {"cleanup_policy": "compact"}, ["tailstream exemplars", "policy=delete"]),
        ("unkeyed", {"cleanup_policy": "compact,delete"}, ["tailstream rekey", "policy=delete"]),
        ("metrics", {"retention_ms": 599_999}, ["decisions.retention", "retention.ms=600000"]),
    ],
)
def test_what_is_wrong_with_a_topic_that_no_worker_reads_stops_none(
    role: str, changes: dict[str, object], said: list[str]
) -> None:
    topics = cluster(**{role: changes})
    (finding,) = check(topics, BESIDE)
    assert finding.level is Level.WARN
    for words in [f"topics.{role} ", f"--entity-name {BESIDE.beside()[role]} ", *said]:
        assert words in finding.text
    assert check(topics, NEEDS) == [], "who does not read it is not told"


@pytest.mark.parametrize(
    ("role", "otherwise"),
    [("metrics", "set exemplars.kafka to false"), ("unkeyed", "leave it empty")],
)
def test_a_topic_that_only_a_command_beside_the_workers_misses_is_a_warning(
    role: str, otherwise: str
) -> None:
    topics = cluster()
    missing = topics.pop(BESIDE.beside()[role])
    (finding,) = check(topics, BESIDE)
    assert finding.level is Level.WARN
    assert finding.text.startswith(f"topics.{role} is {missing.name!r}: the cluster has no such")
    assert "tailstream topics --create" in finding.text
    assert otherwise in finding.text


@pytest.mark.parametrize(
    ("role", "changes"),
    [
        ("metrics", {"partitions": 1, "timestamp_type": "CreateTime"}),
        ("metrics", {"retention_ms": 600_000, "retention_bytes": 1}),
        ("unkeyed", {"partitions": 99, "retention_ms": 1, "max_message_bytes": 1}),
    ],
)
def test_what_does_no_harm_beside_the_workers_is_not_reported(
    role: str, changes: dict[str, object]
) -> None:
    assert check(cluster(**{role: changes}), BESIDE) == []


@pytest.mark.parametrize(
    ("role", "changes", "level", "said"),
    [
        ("output", {"partitions": 7}, "refuse", ["has 7 partitions", "--partitions 8"]),
        ("decisions", {"partitions": 1}, "refuse", ["has 1 partition,", "--partitions 8"]),
        ("decisions", {"partitions": 9}, "warn", ["has 9 partitions", "--topic spans"]),
        ("input", {"cleanup_policy": "compact"}, "refuse", ["cleanup.policy=delete"]),
        ("output", {"cleanup_policy": "compact"}, "refuse", ["cleanup.policy=compact"]),
        ("decisions", {"cleanup_policy": "compact,delete"}, "refuse", ["cleanup.policy=delete"]),
        ("dead_letters", {"cleanup_policy": "compact"}, "refuse", ["cleanup.policy=delete"]),
        ("decisions", {"retention_ms": 3_599_999}, "refuse", ["retention.ms=3600000"]),
        ("input", {"retention_ms": -1}, "refuse", ["retention.ms=-1", "fates"]),
        ("decisions", {"retention_bytes": 10**9}, "warn", ["retention.bytes=-1"]),
        ("input", {"timestamp_type": "CreateTime"}, "warn", ["LogAppendTime"]),
        ("output", {"max_message_bytes": 1_016_383}, "refuse", ["max.message.bytes=1016383"]),
        ("dead_letters", {"max_message_bytes": 500_000}, "refuse", ["bytes_max to 483616"]),
    ],
)
def test_each_fault_is_found_once_with_its_value_and_its_remedy(
    role: str, changes: dict[str, object], level: str, said: list[str]
) -> None:
    (finding,) = check(cluster(**{role: changes}), NEEDS)
    assert finding.level == Level(level)
    for words in [f"topics.{role} ", *said]:
        assert words in finding.text


@pytest.mark.parametrize(
    ("role", "changes"),
    [
        ("output", {"partitions": 64}),
        ("dead_letters", {"partitions": 1}),
        ("output", {"retention_ms": 1, "retention_bytes": 1, "timestamp_type": "CreateTime"}),
        ("dead_letters", {"retention_ms": 1, "timestamp_type": "CreateTime"}),
        ("decisions", {"retention_ms": -1}),
        ("decisions", {"retention_ms": 3_600_001, "max_message_bytes": 100_000}),
        ("input", {"max_message_bytes": 1}),
        ("input", {"retention_ms": 1, "retention_bytes": 10**9}),
        ("output", {"max_message_bytes": 1_016_384}),
    ],
)
def test_what_does_no_harm_is_not_reported(role: str, changes: dict[str, object]) -> None:
    assert check(cluster(**{role: changes}), NEEDS) == []


def test_an_input_that_forgets_sooner_than_we_do_is_a_warning() -> None:
    (finding,) = check(cluster(input={"retention_ms": 599_999}), BESIDE)
    assert finding.level is Level.WARN
    for words in ["topics.input ", "retention.ms=599999", "(600000 ms)", "retention.ms=86400000"]:
        assert words in finding.text
    assert check(cluster(input={"retention_ms": 600_000}), BESIDE) == []


@pytest.mark.parametrize(
    ("topic_bytes", "told"),
    [(81_920, "set output.message_bytes_max to 65536"), (81_919, ""), (1, "")],
)
def test_a_tiny_limit_is_to_be_raised_and_not_to_be_lived_with(topic_bytes: int, told: str) -> None:
    (finding,) = check(cluster(output={"max_message_bytes": topic_bytes}), NEEDS)
    assert "--add-config max.message.bytes=1048588" in finding.text
    assert told in finding.text
    assert ("or set" in finding.text) is bool(told)


def test_every_command_names_the_cluster_and_the_topic_to_change() -> None:
    bad = {"cleanup_policy": "compact", "max_message_bytes": 1, "timestamp_type": "CreateTime"}
    for finding in check(cluster(input=bad, output=bad, decisions=bad, dead_letters=bad), NEEDS):
        name = next(name for name in NEEDS.roles().values() if repr(name) in finding.text)
        assert f"kafka-configs.sh --bootstrap-server {NEEDS.bootstrap} --alter" in finding.text
        assert f"--entity-name {name} --add-config " in finding.text


@pytest.mark.parametrize("role", ["input", "output", "decisions", "dead_letters"])
def test_a_missing_topic_is_refused_and_compared_with_no_other(role: str) -> None:
    topics = cluster(input={"partitions": 8}, decisions={"partitions": 8})
    missing = topics.pop(NEEDS.roles()[role])
    assert check(topics, NEEDS) == [
        Finding(
            Level.REFUSE,
            f"topics.{role} is {missing.name!r}: the cluster has no such topic. Create it with "
            f"`tailstream topics --create`, or correct topics.{role}.",
        )
    ]


def test_refusals_come_before_warnings() -> None:
    topics = cluster(decisions={"retention_bytes": 1}, output={"max_message_bytes": 1})
    found = check(topics, NEEDS)
    assert [finding.level for finding in found] == [Level.REFUSE, Level.WARN]


def test_topics_that_are_planned_pass_the_check_once_they_exist() -> None:
    needs = replace(BESIDE, message_bytes_max=5_000_000)
    plans = plan_missing({}, needs, partitions=12, brokers=5)
    made = {plan.name: as_made(plan) for plan in plans}
    assert len(made) == 6
    assert {plan.partitions for plan in plans} == {12}
    assert check(made, needs) == []


def as_made(plan: TopicPlan) -> TopicFacts:
    """What a broker with Kafka's defaults makes of a plan."""
    return TopicFacts(
        name=plan.name,
        topic_id="id",
        partitions=plan.partitions,
        replication_factor=plan.replication_factor,
        cleanup_policy=plan.config["cleanup.policy"],
        timestamp_type=plan.config["message.timestamp.type"],
        retention_ms=int(plan.config.get("retention.ms", 604_800_000)),
        retention_bytes=int(plan.config.get("retention.bytes", -1)),
        max_message_bytes=int(plan.config.get("max.message.bytes", 1_048_588)),
    )


def test_the_others_follow_an_input_that_exists() -> None:
    topics = {"spans": replace(GOOD, name="spans", partitions=32, retention_ms=-1)}
    plans = {plan.name: plan for plan in plan_missing(topics, NEEDS, partitions=8, brokers=3)}
    assert plans.keys() == {"kept", "fates", "dead"}
    assert {plan.partitions for plan in plans.values()} == {32}
    assert plans["fates"].config["retention.ms"] == "-1"
    assert plans["dead"].config["retention.ms"] == "-1"


def test_dead_letters_are_kept_for_a_week_at_least() -> None:
    topics = {"spans": replace(GOOD, name="spans", retention_ms=3_600_000)}
    plans = {plan.name: plan for plan in plan_missing(topics, NEEDS, partitions=8, brokers=3)}
    assert plans["fates"].config["retention.ms"] == "3600000"
    assert plans["dead"].config["retention.ms"] == "604800000"


@pytest.mark.parametrize(
    ("brokers", "replicas", "in_sync"), [(1, 1, None), (2, 2, None), (3, 3, "2"), (9, 3, "2")]
)
def test_topics_get_three_replicas_where_there_are_three_brokers(
    brokers: int, replicas: int, in_sync: str | None
) -> None:
    for plan in plan_missing({}, NEEDS, partitions=8, brokers=brokers):
        assert plan.replication_factor == replicas
        assert plan.config.get("min.insync.replicas") == in_sync


def test_nothing_is_planned_where_nothing_is_missing() -> None:
    assert plan_missing(cluster(), NEEDS, partitions=8, brokers=3) == []
