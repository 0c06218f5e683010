"""`${env:NAME:-default}`, `$$`, and what they turn into."""

import socket

import pytest

from stream.settings.environment import environment, substitute
from stream.settings.errors import SettingsError
from stream.settings.load import load


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${env:A}", "a"),
        ("${A}", "a"),
        ("x-${env:A}-${A}-y", "x-a-a-y"),
        ("${env:NONE:-d}", "d"),
        ("${env:EMPTY:-d}", "d"),
        ("${env:A:-d}", "a"),
        ("${env:NONE:-}", ""),
        ("${env:EMPTY}", ""),
        ("$$", "$"),
        ("$${env:A}", "${env:A}"),
        ("$$$$", "$$"),
        ("cost: $5", "cost: $5"),
        ("${env:NONE:-a:-b}", "a:-b"),
    ],
)
def test_references_are_replaced_and_two_dollars_are_one(text: str, expected: str) -> None:
    assert substitute(text, {"A": "a", "EMPTY": ""}) == expected


def test_references_in_lists_and_maps_are_replaced_but_not_in_keys() -> None:
    tree = {"${A}": [{"k": "${A}"}, 5, None, True]}
    assert substitute(tree, {"A": "a"}) == {"${A}": [{"k": "a"}, 5, None, True]}


def test_the_value_of_a_variable_is_not_searched_for_references() -> None:
    assert substitute("${env:A}", {"A": "p${env:B}$$w"}) == "p${env:B}$$w"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("${env:NONE}", "the environment variable NONE is not set"),
        ("${NONE}", "the environment variable NONE is not set"),
        ("x${env:A", "`${` has no `}`"),
        ("${}", "not a reference"),
        ("${env:1A}", "not a reference"),
        ("${file:/etc/passwd}", "not a reference"),
        ("${env:NONE:-${env:A}}", "a reference inside a reference"),
    ],
)
def test_a_reference_that_leads_nowhere_stops_the_start(text: str, wrong: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        substitute({"worker": {"group": text}}, {"A": "a"})
    (problem,) = refusal.value.problems
    assert problem.setting == "worker.group"
    assert problem.value == text
    assert wrong in problem.wrong
    assert problem.remedy


def test_a_variable_that_is_not_set_hides_no_other_problem() -> None:
    policy = "{name: p, type: latency, latency: {threshold_ms: '${env:MS}', x: 1}}"
    with pytest.raises(SettingsError) as refusal:
        load(
            None,
            [
                *("worker.group=${env:G}", "worker.commit_interval=${env:I}", "web.port=0"),
                *("kafka.client.id=${env:C}", f"tail_sampling.policies=[{policy}]"),
            ],
            {},
        )
    settings = [str(problem).partition(" = ")[0] for problem in refusal.value.problems]
    unset = ["worker.group", "worker.commit_interval", "kafka.client.id"]
    in_policy = "tail_sampling.policies[0] (p).latency"
    assert sorted(settings) == sorted(
        [*unset, f"{in_policy}.threshold_ms", f"{in_policy}.x", "web.port"]
    )


def test_what_depends_on_a_variable_that_is_not_set_is_not_judged() -> None:
    with pytest.raises(SettingsError) as refusal:
        load(None, ["tail_sampling.decision_wait=20m", "worker.group=x${env:G}"], {})
    assert [problem.setting for problem in refusal.value.problems] == ["worker.group"]


def test_every_variable_that_is_not_set_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refusal:
        load(None, ["worker.group=${env:G}", "topics.input=${env:T}"], {})
    assert [problem.setting for problem in refusal.value.problems] == [
        "worker.group",
        "topics.input",
    ]


@pytest.mark.parametrize("name", ["0123", "012345670123", "1e5", "123", "true", "null", "off"])
def test_a_variable_keeps_its_text_where_text_is_wanted(name: str) -> None:
    settings = load(None, ["kafka.client.id=${env:HOSTNAME}"], {"HOSTNAME": name})
    assert settings.worker.instance_id == name
    assert settings.kafka["client.id"] == name


def test_a_variable_is_a_number_a_boolean_a_duration_or_a_size_where_that_is_wanted() -> None:
    environment = {"PORT": "7000", "YES": "true", "WAIT": "15s", "MEMORY": "1GiB", "PIECE": "2000"}
    settings = load(
        None,
        [
            "web.port=${env:PORT}",
            "worker.static_membership=${env:YES}",
            "tail_sampling.decision_wait=${env:WAIT}",
            "storage.memory=${env:MEMORY}",
            "output.message_bytes_max=${env:PIECE}",
        ],
        environment,
    )
    assert settings.web.port == 7000
    assert settings.worker.static_membership is True
    assert settings.tail_sampling.decision_wait_s == 15.0
    assert settings.storage.memory_bytes == 1 << 30
    assert settings.output.message_bytes_max == 2000


def test_a_variable_can_be_any_part_of_a_policy() -> None:
    policy = "{name: '${env:N}', type: '${env:T}', probabilistic: {sampling_percentage: '${P}'}}"
    settings = load(
        None,
        [f"tail_sampling.policies=[{policy}]"],
        {"N": "5", "T": "probabilistic", "P": "12.5"},
    )
    (written,) = settings.public()["tail_sampling"]["policies"]
    assert written == {
        "name": "5",
        "mode": "decide",
        "type": "probabilistic",
        "probabilistic": {"sampling_percentage": 12.5, "hash_salt": "", "mode": "hash_seed"},
    }


def test_the_brokers_and_the_instance_come_from_the_environment_by_default() -> None:
    settings = load(None, [], {"KAFKA_BOOTSTRAP": "kafka:9092", "HOSTNAME": "pod-3"})
    assert settings.kafka["bootstrap.servers"] == "kafka:9092"
    assert settings.worker.instance_id == "pod-3"
    bare = load(None, [], {})
    assert bare.kafka["bootstrap.servers"] == "localhost:9092"
    assert bare.worker.instance_id == "worker-0"


def test_a_worker_is_named_after_its_host_where_no_one_exports_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOSTNAME", raising=False)
    assert load(None, [], environment()).worker.instance_id == socket.gethostname()
    monkeypatch.setenv("HOSTNAME", "")
    assert load(None, [], environment()).worker.instance_id == socket.gethostname()
    monkeypatch.setenv("HOSTNAME", "pod-3")
    assert load(None, [], environment()).worker.instance_id == "pod-3"
