"""What an operator can get wrong, and that the error names setting, value and remedy."""

import json
from pathlib import Path

import pytest

from stream.settings.errors import SettingsError
from stream.settings.kafka import PROTOCOLS
from stream.settings.load import load


def refusal(directory: Path, text: str, *overrides: str) -> str:
    path = directory / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        load(path, overrides, {})
    told = str(error.value).replace(str(directory) + "/", "")
    return told.replace(f"{FIRST} (p)", FIRST)


POLICY = "{name: p, type: always_sample}"
FIRST = "tail_sampling.policies[0]"
LOGIN = (("mechanism", "PLAIN"), ("username", "u"), ("password", "p"))
OF_A_SHARE = "probabilistic: {sampling_percentage: 5, mode: proportional}"
SHADOW_BELOW = "{not_sub_policy: {type: always_sample, mode: shadow}}"

# One wrong setting each: YAML; then, in the error's order: setting = value, what is wrong, remedy.
BAD_VALUES = [
    ("worker: {group: 5}", "worker.group = 5", "must be text", "in quotes"),
    ("worker: {group: ''}", 'worker.group = ""', "empty", "write a name"),
    ("worker: {group: ' a'}", 'worker.group = " a"', "characters", "no space at the ends"),
    ("worker: {group:}", "worker.group = null", "has no value", "remove it for the default"),
    ("worker: {instance_id: ''}", 'worker.instance_id = ""', "empty", "write a name"),
    ("worker: {instance_id: a b}", 'worker.instance_id = "a b"', "characters", "use letters"),
    ("worker: {instance_id: 123}", "worker.instance_id = 123", "must be text", "in quotes"),
    ('worker: {static_membership: "yes"}', 'worker.static_membership = "yes"', "true or false", ""),
    ("worker: {static_membership: 1}", "worker.static_membership = 1", "true or false", ""),
    (
        "worker: {initial_offset: first}",
        'worker.initial_offset = "first"',
        "no such choice",
        "earliest, latest",
    ),
    ("worker: {delivery: exactly-once}", 'worker.delivery = "exactly-once"', "", "exactly_once"),
    ("worker: {commit_interval:}", "worker.commit_interval = null", "has no value", "remove it"),
    ("storage: {memory:}", "storage.memory = null", "has no value", "512MiB or 20GiB, or remove"),
    ("storage: {memory: ''}", 'storage.memory = ""', "has no value", "remove it for the default"),
    ("worker: {commit_interval: 500}", "worker.commit_interval = 500", "no unit", "500ms or 500s"),
    ("worker: {commit_interval: '500'}", 'worker.commit_interval = "500"', "no unit", "500ms"),
    ("worker: {commit_interval: 0.5}", "worker.commit_interval = 0.5", "no unit", "0.5s"),
    ("worker: {commit_interval: fast}", 'worker.commit_interval = "fast"', "not a duration", "30s"),
    ("worker: {commit_interval: 5 s}", 'worker.commit_interval = "5 s"', "not a duration", "30s"),
    ("worker: {commit_interval: true}", "worker.commit_interval = true", "not a duration", "30s"),
    ("worker: {commit_interval: [1s]}", 'worker.commit_interval = ["1s"]', "not a dur", "500ms"),
    ("worker: {commit_interval: 1ms}", 'worker.commit_interval = "1ms"', "less than", "10ms or mo"),
    ("worker: {commit_interval: 1m}", 'worker.commit_interval = "1m"', "more than 10s", "or less"),
    ("worker: {commit_interval: -1s}", 'worker.commit_interval = "-1s"', "less than 10ms", "set"),
    ("worker: {session_timeout: 1h}", 'worker.session_timeout = "1h"', "more than 30m", "or less"),
    ("worker: {comit_interval: 1s}", 'worker.comit_interval = "1s"', "no such", ".commit_interval"),
    (
        "worker: {commit_interval_s: 1}",
        "worker.commit_interval_s = 1",
        "",
        "worker.commit_interval",
    ),
    ("worker: 5", "worker = 5", "must be a map", "name: value"),
    ("worker: [group]", 'worker = ["group"]', "must be a map", "name: value"),
    ("group: blue", 'group = "blue"', "no such setting", "did you mean worker.group?"),
    ("wroker: {group: a}", 'wroker = {"group": "a"}', "no such setting", "did you mean worker?"),
    ("zzz: 1", "zzz = 1", "no such setting", "write one of compatibility, kafka, worker"),
    ("5: 1", "5 = 1", "name is text", "in quotes"),
    ("compatibility: strict", 'compatibility = "strict"', "no such choice", "fixed, collector"),
    (
        "tail_sampling: {policies: [{name: p, type: always_sample, mode: dark}]}",
        f'{FIRST}.mode = "dark"',
        "no such choice",
        "decide, shadow",
    ),
    (
        "tail_sampling: {policies: [{name: p, type: always_sample, mode: shadow}]}",
        f'{FIRST}.mode = "shadow"',
        "nothing would be kept",
        "remove its mode",
    ),
    (
        f"tail_sampling: {{policies: [{{name: p, type: not, not: {SHADOW_BELOW}}}]}}",
        f'{FIRST}.not.not_sub_policy.mode = "shadow"',
        "a part of a policy",
        "remove it here",
    ),
    (
        f"tail_sampling: {{policies: [{{name: p, type: probabilistic, {OF_A_SHARE}}}]}}",
        f'{FIRST}.probabilistic.mode = "proportional"',
        "no such choice",
        "hash_seed, trace_state",
    ),
    ("topics: {input: 'a b'}", 'topics.input = "a b"', "characters", "use letters"),
    ("topics: {input: ..}", 'topics.input = ".."', "not a topic's name", "another name"),
    ("topics: {output: otlp_spans}", 'topics.output = "otlp_spans"', "topics.input has", "its own"),
    ("topics: {unkeyed: otlp_spans}", 'topics.unkeyed = "otlp_spans"', "topics.input", "its own"),
    ("topics: {partitioner: crc32}", 'topics.partitioner = "crc32"', "choice", "fnv1a, murmur2"),
    ("decisions: {retention: 10s}", 'decisions.retention = "10s"', "shorter than", "10m"),
    ("storage: {memory: 512}", "storage.memory = 512", "less than 1MiB", "1MiB or more"),
    ("storage: {memory: 512Mb}", 'storage.memory = "512Mb"', "has a unit", "512MiB"),
    ("storage: {memory: lots}", 'storage.memory = "lots"', "not a size", "512MiB"),
    ("storage: {memory: true}", "storage.memory = true", "not a size", "512MiB"),
    ("storage: {disk: 1.5}", "storage.disk = 1.5", "whole number of bytes", "20GiB"),
    ("storage: {spans: disk}", 'storage.spans = "disk"', "choice", "spill, memory, rocksdb"),
    ("storage: {directory: 5}", "storage.directory = 5", "must be a path", "in quotes"),
    ("limits: {open_traces_max: 0}", "limits.open_traces_max = 0", "less than 1", "1 or more"),
    ("limits: {open_traces_max: 1.5}", "limits.open_traces_max = 1.5", "whole number", "1000"),
    ('limits: {open_traces_max: "9"}', 'limits.open_traces_max = "9"', "whole", "without quotes"),
    ("output: {compression: brotli}", 'output.compression = "brotli"', "choice", "lz4, zstd"),
    ("output: {stamp: all}", 'output.stamp = "all"', "choice", "spans, root, none"),
    ("output: {copy_headers: a}", 'output.copy_headers = "a"', "must be a list", "[a, b]"),
    ("output: {copy_headers: [5]}", "output.copy_headers[0] = 5", "must be text", "in quotes"),
    (
        "output: {copy_headers: [a, tailstream.policy]}",
        'output.copy_headers[1] = "tailstream.policy"',
        "is ours",
        "remove it",
    ),
    ("output: {message_bytes_max: 10}", "output.message_bytes_max = 10", "than 1KiB", "or more"),
    (
        "{output: {message_bytes_max: 2MiB}, kafka: {message.max.bytes: 1000000}}",
        "output.message_bytes_max = 2097152",
        "more than kafka.message.max.bytes (1000000)",
        "lower it",
    ),
    ("web: {port: 70000}", "web.port = 70000", "more than 65535", "65535 or less"),
    ("web: {host: ''}", 'web.host = ""', "empty", "write a name"),
    ("log: {level: INFO}", 'log.level = "INFO"', "no such choice", "info"),
    ("kafka: localhost", 'kafka = "****"', "must be a map", "bootstrap.servers"),
    ("kafka: {group.id: a}", 'kafka.group.id = "a"', "not yours", "worker.group"),
    ("kafka: {enable.auto.commit: true}", "kafka.enable.auto.commit = true", "", "commit_interval"),
    ("kafka: {isolation.level: x}", 'kafka.isolation.level = "x"', "not yours", "read_committed"),
    ("kafka: {transactional.id: x}", 'kafka.transactional.id = "x"', "", "worker.instance_id"),
    ("kafka: {auto.offset.reset: x}", 'kafka.auto.offset.reset = "x"', "", "initial_offset"),
    ("kafka: {session.timeout.ms: 9}", "kafka.session.timeout.ms = 9", "", "session_timeout"),
    ("kafka: {acks: 1}", "kafka.acks = 1", "not yours", "all replicas"),
    (
        "kafka: {bootstrap.server: a}",
        'kafka.bootstrap.server = "a"',
        "librdkafka has no such setting",
        "did you mean kafka.bootstrap.servers?",
    ),
    ("kafka: {zzz: a}", 'kafka.zzz = "a"', "has no such setting", "CONFIGURATION.md"),
    ("kafka: {client.id: [a]}", 'kafka.client.id = ["a"]', "must be text", "write its value"),
    ("kafka: {bootstrap.servers: ''}", 'kafka.bootstrap.servers = ""', "empty", "write its value"),
    ("kafka: {client.id:}", "kafka.client.id = null", "empty", "remove it"),
    (
        "kafka: {sasl.password: x}",
        'kafka.security.protocol = "PLAINTEXT"',
        "does not use kafka.sasl.password",
        "SASL_SSL or SASL_PLAINTEXT",
    ),
    (
        "kafka: {ssl.ca.location: x}",
        'kafka.security.protocol = "PLAINTEXT"',
        "does not use kafka.ssl.ca.location",
        "SSL or SASL_SSL",
    ),
    (
        "kafka: {heartbeat.interval.ms: 5000}",
        "kafka.heartbeat.interval.ms = 5000",
        "more than a third",
        "lower it",
    ),
    (
        "kafka: {max.poll.interval.ms: '5000'}",
        "kafka.max.poll.interval.ms = 5000",
        "shorter than worker.session_timeout",
        "raise it",
    ),
    (
        "worker: {static_membership: true, session_timeout: 2s}",
        'worker.session_timeout = "2s"',
        "too short for worker.static_membership",
        "6s at least",
    ),
    (
        "worker: {commit_interval: 5s, transaction_timeout: 5s}",
        'worker.commit_interval = "5s"',
        "not below transaction_timeout (5s)",
        "500ms",
    ),
    (
        "tail_sampling: {decision_wait: 0}",
        "tail_sampling.decision_wait = 0",
        "less than 1ms",
        "1ms",
    ),
    ("tail_sampling: {decision_wait: 30}", "tail_sampling.decision_wait = 30", "no unit", "30s"),
    (
        "tail_sampling: {decision_wait: 5s, decision_wait_after_root_received: 5s}",
        'tail_sampling.decision_wait_after_root_received = "5s"',
        "not below decision_wait (5s)",
        "or to 0s",
    ),
    ("tail_sampling: {policies: []}", "tail_sampling.policies = []", "empty", "nothing would be"),
    ("tail_sampling: {policies: p}", 'tail_sampling.policies = "p"', "must be a list", "as a list"),
    ("tail_sampling: {policy: []}", "tail_sampling.policy = []", "", "tail_sampling.policies?"),
    (
        "tail_sampling: {sampling_strategy: span-ingested}",
        'tail_sampling.sampling_strategy = "span-ingested"',
        "no such choice",
        "trace-complete, span-ingest",
    ),
    (
        "tail_sampling: {root_condition: 5}",
        "tail_sampling.root_condition = 5",
        "must be text",
        "in quotes",
    ),
    (
        "{tail_sampling: {maximum_trace_size_bytes: 2000}, limits: {trace_bytes_max: 2000}}",
        "tail_sampling.maximum_trace_size_bytes = 2000",
        "not below limits.trace_bytes_max (2000)",
        "above it",
    ),
    ("tail_sampling: {num_shards: 300}", "tail_sampling.num_shards = 300", "more than 256", "256"),
    (
        "tail_sampling: {decision_cache: {sampled: 1}}",
        "tail_sampling.decision_cache.sampled = 1",
        "no such setting",
        "sampled_cache_size, non_sampled_cache_size",
    ),
]

# One policy each, in the place of the first.
BAD_POLICIES = [
    ("{type: always_sample}", f'{FIRST}.name = ""', "needs a name", "a name of its own"),
    (
        "{name: p}",
        f"{FIRST}.type: a policy needs a type",
        "",
        "always_sample, and, boolean_attribute, bytes_limiting, completeness, composite, drop",
    ),
    ("{name: p, type: 5}", f"{FIRST}.type = 5", "needs a type", "always_sample"),
    ("p", f'{FIRST} = "p"', "must be a map", "name: value"),
    ("{name: p, type: latancy}", f'{FIRST}.type = "latancy"', "no such type", "mean latency?"),
    ("{name: p, type: my_extension}", f'{FIRST}.type = "my_extension"', "no such type", "support"),
    ("{name: p, type: latency}", f"{FIRST}.latency: missing", "", "write latency:"),
    ("{name: p, type: latency, latency: {}}", f"{FIRST}.latency = {{}}", "no thresh", "1000"),
    (
        "{name: p, type: latency, latency: {threshold_ms: 1s}}",
        f'{FIRST}.latency.threshold_ms = "1s"',
        "must be a whole number",
        "write 1000 without quotes",
    ),
    (
        "{name: p, type: latency, latency: {treshold_ms: 1}}",
        f"{FIRST}.latency.treshold_ms = 1",
        "no such setting",
        f"did you mean {FIRST}.latency.threshold_ms?",
    ),
    (
        "{name: p, type: latency, latency: {threshold_ms: 9, upper_threshold_ms: 5}}",
        f"{FIRST}.latency.upper_threshold_ms = 5",
        "not above threshold_ms (9)",
        "0 for no upper bound",
    ),
    (
        "{name: p, type: status_code, status_code: {status_codes: []}}",
        f"{FIRST}.status_code.status_codes = []",
        "empty",
        "OK, ERROR, UNSET",
    ),
    (
        "{name: p, type: status_code, status_code: {status_codes: [error]}}",
        f'{FIRST}.status_code.status_codes[0] = "error"',
        "no such choice",
        "'OK', 'ERROR' or 'UNSET'",
    ),
    (
        "{name: p, type: probabilistic, probabilistic: {sampling_percentage: 101}}",
        f"{FIRST}.probabilistic.sampling_percentage = 101",
        "more than 100",
        "100 or less",
    ),
    (
        "{name: p, type: probabilistic, probabilistic: {sampling_percentage: -1}}",
        f"{FIRST}.probabilistic.sampling_percentage = -1",
        "less than 0",
        "0 or more",
    ),
    (
        "{name: p, type: probabilistic, probabilistic: {sampling_percentage: 5%}}",
        f'{FIRST}.probabilistic.sampling_percentage = "5%"',
        "must be a number",
        "without quotes",
    ),
    (
        "{name: p, type: probabilistic, probabilistic: {sampling_percentage: .nan}}",
        f"{FIRST}.probabilistic.sampling_percentage = NaN",
        "must be a finite number",
        "e.g. 5",
    ),
    (
        "{name: p, type: probabilistic, probabilistic: {}}",
        f"{FIRST}.probabilistic.sampling_percentage: missing",
        "",
        "write sampling_percentage:",
    ),
    (
        "{name: p, type: always_sample, latency: {threshold_ms: 1}}",
        f'{FIRST}.latency = {{"threshold_ms": 1}}',
        "no such setting",
        "remove it",
    ),
    (
        "{name: p, type: string_attribute, string_attribute: {values: [a]}}",
        f"{FIRST}.string_attribute.key: missing",
        "",
        "write key:",
    ),
    (
        "{name: p, type: string_attribute, string_attribute: {key: '', values: [a]}}",
        f'{FIRST}.string_attribute.key = ""',
        "empty",
        "write a name",
    ),
    (
        "{name: p, type: string_attribute, string_attribute: {key: k, values: []}}",
        f"{FIRST}.string_attribute.values = []",
        "empty",
        "write at least one",
    ),
    (
        "{name: p, type: string_attribute, string_attribute: {key: k, values: [a, 5]}}",
        f"{FIRST}.string_attribute.values[1] = 5",
        "must be text",
        "in quotes",
    ),
    (
        (
            "{name: p, type: string_attribute, string_attribute: "
            "{key: k, values: [a, '('], enabled_regex_matching: true}}"
        ),
        f'{FIRST}.string_attribute.values[1] = "("',
        "no regular expression: missing )",
        "RE2's syntax",
    ),
    (
        (
            "{name: p, type: string_attribute, string_attribute: "
            "{key: k, values: ['(a)\\1'], enabled_regex_matching: true}}"
        ),
        f'{FIRST}.string_attribute.values[0] = "(a)\\\\1"',
        "invalid escape sequence",
        "no backreferences",
    ),
    (
        "{name: p, type: numeric_attribute, numeric_attribute: {key: k}}",
        f'{FIRST}.numeric_attribute = {{"key": "k"}}',
        "has no bound",
        "write min_value, max_value or both",
    ),
    (
        "{name: p, type: numeric_attribute, numeric_attribute: {key: k, min_value: 0.5}}",
        f"{FIRST}.numeric_attribute.min_value = 0.5",
        "whole number",
        "",
    ),
    (
        (
            "{name: p, type: numeric_attribute, numeric_attribute: "
            "{key: k, min_value: 1, max_value: 0}}"
        ),
        f"{FIRST}.numeric_attribute.max_value = 0",
        "below min_value (1)",
        "min_value or more",
    ),
    (
        "{name: p, type: boolean_attribute, boolean_attribute: {key: k, value: yes}}",
        f'{FIRST}.boolean_attribute.value = "yes"',
        "true or false",
        "without quotes",
    ),
    (
        "{name: p, type: span_count, span_count: {}}",
        f"{FIRST}.span_count = {{}}",
        "has no bound",
        "min_spans: 10",
    ),
    (
        "{name: p, type: span_count, span_count: {min_spans: -1}}",
        f"{FIRST}.span_count.min_spans = -1",
        "less than 0",
        "0 or more",
    ),
    (
        "{name: p, type: span_count, span_count: {min_spans: 3, max_spans: 2}}",
        f"{FIRST}.span_count.max_spans = 2",
        "below min_spans (3)",
        "or to 0",
    ),
    (
        (
            "{name: p, type: drop, drop: {drop_sub_policy: "
            "[{type: always_sample}, {type: numeric_attribute, numeric_attribute: {key: k}}]}}"
        ),
        f"{FIRST}.drop.drop_sub_policy[1].numeric_attribute = ",
        "has no bound",
        "0 is a bound",
    ),
    (
        "{name: p, type: and, and: {and_sub_policy: []}}",
        f"{FIRST}.and.and_sub_policy = []",
        "empty",
        "keeps every trace",
    ),
    (
        "{name: p, type: and}",
        f"{FIRST}.and: missing",
        "",
        "write and:",
    ),
    (
        "{name: p, type: not, not: {}}",
        f"{FIRST}.not.not_sub_policy: missing",
        "",
        "write not_sub_policy:",
    ),
    (
        "{name: p, type: not, not: {not_sub_policy: [{type: always_sample}]}}",
        f'{FIRST}.not.not_sub_policy = [{{"type": "always_sample"}}]',
        "must be a map",
        "lines",
    ),
    (
        "{name: p, type: not, not: {not_sub_policy: {type: drop}}}",
        f'{FIRST}.not.not_sub_policy.type = "drop"',
        "at the top only",
        "always_sample, and, boolean",
    ),
    (
        "{name: p, type: drop, drop: {drop_sub_policy: []}}",
        f"{FIRST}.drop.drop_sub_policy = []",
        "empty",
        "drops every trace",
    ),
    (
        "{name: p, type: drop, drop: {drop_sub_policy: [{name: q, type: drop}]}}",
        f'{FIRST}.drop.drop_sub_policy[0].type = "drop"',
        "at the top only",
        "always_sample, and, boolean_attribute",
    ),
    (
        "{name: p, type: drop, drop: {drop_sub_policy: [{type: latency, latency: {}}]}}",
        f"{FIRST}.drop.drop_sub_policy[0].latency = {{}}",
        "has no threshold",
        "threshold_ms: 1000",
    ),
]


@pytest.mark.parametrize(("text", "setting", "wrong", "remedy"), BAD_VALUES)
def test_a_wrong_value_is_answered_with_setting_value_and_remedy(
    text: str, setting: str, wrong: str, remedy: str, tmp_path: Path
) -> None:
    (line,) = refusal(tmp_path, text).splitlines()
    assert line.startswith(f"{setting}: ")
    said, _, to_do = line.removeprefix(f"{setting}: ").partition("; ")
    assert wrong in said
    assert to_do
    assert remedy in to_do


@pytest.mark.parametrize(("policy", "setting", "wrong", "remedy"), BAD_POLICIES)
def test_a_wrong_policy_is_answered_with_setting_value_and_remedy(
    policy: str, setting: str, wrong: str, remedy: str, tmp_path: Path
) -> None:
    text = f"tail_sampling: {{policies: [{policy}, {{name: last, type: always_sample}}]}}"
    (line,) = refusal(tmp_path, text).splitlines()
    assert line.startswith(setting)
    said, _, to_do = line.removeprefix(setting).partition("; ")
    assert wrong in said
    assert remedy in to_do


@pytest.mark.parametrize(
    ("policy", "setting", "wrong", "remedy"),
    [
        (
            "{type: latency, latency: {treshold_ms: 1}}",
            ".latency.treshold_ms = 1",
            "no such setting",
            "did you mean",
        ),
        (
            "{type: latency, latency: {threshold_ms: a}}",
            '.latency.threshold_ms = "a"',
            "whole number",
            "without quotes",
        ),
        ("{type: latency, latency: {}}", ".latency = {}", "has no threshold", "threshold_ms: 1000"),
        (
            "{type: status_code, status_code: {status_codes: [X]}}",
            '.status_code.status_codes[0] = "X"',
            "no such choice",
            "OK",
        ),
    ],
)
def test_a_mistake_deep_inside_is_told_with_its_whole_path(
    policy: str, setting: str, wrong: str, remedy: str, tmp_path: Path
) -> None:
    inner = f"{{type: not, not: {{not_sub_policy: {policy}}}}}"
    outer = f"{{type: and, and: {{and_sub_policy: [{{type: always_sample}}, {inner}]}}}}"
    text = f"{{name: p, type: drop, drop: {{drop_sub_policy: [{outer}]}}}}"
    (line,) = refusal(tmp_path, f"tail_sampling: {{policies: [{text}]}}").splitlines()
    place = f"{FIRST}.drop.drop_sub_policy[0].and.and_sub_policy[1].not.not_sub_policy"
    assert line.startswith(f"{place}{setting}: ")
    assert wrong in line
    assert remedy in line


def test_two_policies_of_one_name_are_both_named(tmp_path: Path) -> None:
    lines = refusal(tmp_path, f"tail_sampling: {{policies: [{POLICY}, {POLICY}]}}").splitlines()
    assert [line.partition(" = ")[0] for line in lines] == [
        "tail_sampling.policies[0].name",
        "tail_sampling.policies[1].name",
    ]


def test_a_problem_of_a_policy_tells_its_index_and_its_name() -> None:
    policies = "{name: vip, type: latency, latency: {x: 1, threshold_ms: 0}}, {type: nope}, 5"
    with pytest.raises(SettingsError) as error:
        load(None, [f"tail_sampling.policies=[{policies}]"], {})
    assert [line.partition(" = ")[0] for line in str(error.value).splitlines()] == [
        "tail_sampling.policies[0] (vip).latency.x",
        "tail_sampling.policies[1].type",
        "tail_sampling.policies[2]",
    ]


def test_a_policys_name_hides_no_value() -> None:
    policy = "{name: token, type: latency, latency: {threshold_ms: 9, upper_threshold_ms: 5}}"
    with pytest.raises(SettingsError, match=r"\(token\)\.latency\.upper_threshold_ms = 5: "):
        load(None, [f"tail_sampling.policies=[{policy}]"], {})


@pytest.mark.parametrize("protocol", ["sasl", "", "SASL-SSL", 5, True])
def test_a_security_protocol_that_librdkafka_has_not_is_refused(protocol: object) -> None:
    with pytest.raises(SettingsError, match=r"^kafka\.security\.protocol = .*: .*; write "):
        load(None, [f"kafka.security.protocol={json.dumps(protocol)}"], {})


@pytest.mark.parametrize("protocol", [*PROTOCOLS, "ssl", "Sasl_Plaintext"])
def test_a_security_protocol_is_taken_in_either_case(protocol: str) -> None:
    login = [f"kafka.sasl.{name}={value}" for name, value in LOGIN if "SASL" in protocol.upper()]
    settings = load(None, [f"kafka.security.protocol={protocol}", *login], {})
    assert settings.kafka["security.protocol"] == protocol


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = "{worker: {group: 5, x: 1}, kafka: {group.id: a, nope: 1}, web: {port: 0}}"
    assert len(refusal(tmp_path, text).splitlines()) == 5


# A whole file each, and what the error begins with and holds.
BAD_FILES = [
    ("", "bad.yaml: is empty", "tailstream init"),
    ("# nothing\n", "bad.yaml: is empty", "tailstream init"),
    ("- a\n- b\n", "bad.yaml: is not a map", "worker:"),
    ("worker\n", "bad.yaml: is not a map", "worker:"),
    ("worker: {group: a\nlog: {}\n", "bad.yaml:2:", "not YAML"),
    ("worker:\n  group: 'a\n", "bad.yaml:3:1: not YAML", "quote texts"),
    ("worker:\n\tgroup: a\n", "bad.yaml:2:1: not YAML", "with spaces, not with tabs"),
    ("log: {}\nworker: {}\nlog: {}\n", "bad.yaml:3:1: the key log comes twice", "keep one"),
    ("worker:\n  group: a\n  group: b\n", "bad.yaml:3:3: the key group comes twice", "keep one"),
    ("log: {}\n---\nlog: {}\n", "bad.yaml:2:1: not YAML", ""),
    ("worker: {group: !env a}\n", "bad.yaml:1:17: not YAML", "could not determine"),
    ("web: {port: " + "9" * 5000 + "}", "bad.yaml: Exceeds the limit", "shorter"),
    ("worker: {group: !!timestamp a}\n", "bad.yaml: not YAML: a tag", "remove the tag"),
    ("web: {port: !!int hunter2}\n", "bad.yaml: not YAML: a tag", "remove the tag"),
    ("web: {port: !!bool hunter2}\n", "bad.yaml: not YAML: a tag", "remove the tag"),
    ("worker: &w {group: *w}", "worker", "nested too deeply"),
    ("[" * 600, "bad.yaml", "nested too deeply"),
    (
        "processors: {tail_sampling: {}, tail_sampling/b: {}}",
        "processors: has several tail_sampling blocks: tail_sampling, tail_sampling/b",
        "make a file of each",
    ),
    ("processors: {batch: {}}", "processors: has no tail_sampling (found: batch)", "add"),
    ("processors:", "processors: has no tail_sampling (found: none)", "add"),
    (
        "{processors: {tail_sampling: {}}, tail_sampling: {}}",
        "tail_sampling: processors.tail_sampling is there, too",
        "keep one",
    ),
    ("processors: {tail_sampling: 5}", "tail_sampling = 5: must be a map", "name: value"),
]


@pytest.mark.parametrize(("text", "begin", "holds"), BAD_FILES)
def test_a_wrong_file_is_answered_with_its_place(
    text: str, begin: str, holds: str, tmp_path: Path
) -> None:
    (line,) = refusal(tmp_path, text).splitlines()
    assert line.startswith(begin)
    assert holds in line


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml", [], {})
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(tmp_path, [], {})
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"log: \xff")
    with pytest.raises(SettingsError, match=r"is not UTF-8 text \(byte 5\)"):
        load(binary, [], {})


@pytest.mark.parametrize(
    ("override", "begin"),
    [
        ("worker.group", '--set = "worker.group": not of the form a.b=c'),
        ("=5", '--set = "=5": not of the form'),
        ("worker..group=5", '--set = "worker..group=5": not of the form'),
        ("kafka.=5", '--set = "kafka.=5": not of the form'),
        ("worker.group=[a", "--set worker.group:1:3: not YAML"),
        ("worker.group=", "worker.group = null: has no value"),
        ("worker.grup=a", 'worker.grup = "a": no such setting; did you mean worker.group?'),
        ("worker.group.x=a", 'worker.group = {"x": "a"}: must be text'),
        ("worker=5", "worker = 5: must be a map"),
        ("tail_sampling.policies.0.name=x", 'tail_sampling.policies = {"0": {"name": "x"}}: must'),
    ],
)
def test_a_wrong_override_is_named(override: str, begin: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(None, [override], {})
    (line,) = str(error.value).splitlines()
    assert line.startswith(begin)


@pytest.mark.parametrize(
    "text",
    [
        "kafka: {sasl.password: [hunter2]}",
        "kafka: {sasl.passwort: hunter2}",
        "export: {header: {Authorization: hunter2}}",
        "export: {Authorization: hunter2}",
        "sasl.password: hunter2",
        "worker: {sasl: {password: hunter2}}",
        "kafka: [sasl.password, hunter2]",
        "kafka: sasl.password=hunter2",
        "kafka: {sasl.password: *hunter2}",
        "kafka: {sasl.password: !hunter2}",
        "kafka: {sasl.password: !!int hunter2}",
        "kafka: {sasl.password: !!bool hunter2}",
        "kafka: {ssl.key.pem: {hunter2: 1}, sasl.password: 'hunter2, hunter2: 2}",
        "kafka: {sasl.password:hunter2}",
        "kafka: {sasl.password:hunter2: 1}",
        "kafka: {api.key: hunter2}",
        "kafka: {auth: {plain_text: {pass: hunter2}}}",
        "kafka: {bootstrap.servers: 'SASL_SSL://user:hunter2@host:9092'}",
        "kafka: {bootstrap.servers: 'user:hunter2@host:9092'}",
        "kafka: {http.proxy: 'http://user:hunter2@proxy'}",
        "export: {api_key: hunter2}",
        "export: 'http://user:hunter2@host'",
        "export: {endpoint: 'user:hunter2@host:80'}",
        "export: {endpoint: 'http://user:hunter2@host:99999999/'}",
        "export: {endpoint: 'http://host/v1?key=hunter2 x'}",
        "exporter: {endpoint: 'http://user:hunter2@host'}",
        "exemplars: {prometheus: {bearer: hunter2}}",
        "exemplars: {prometheus: 'http://user:hunter2@host'}",
        "exemplars: {scrape: {targets: ['hp://user:hunter2@host']}}",
    ],
)
def test_an_error_about_a_secret_does_not_tell_it(text: str, tmp_path: Path) -> None:
    assert "hunter2" not in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "override",
    [
        "kafka.sasl.password",
        "kafka.sasl.password=[hunter2",
        "kafka.pw:hunter2",
        "http://user:hunter2@host",
        "export.endpoint http://user:hunter2@host",
    ],
)
def test_an_error_about_a_secret_override_does_not_tell_it(override: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(None, [override], {})
    assert "hunter2" not in str(error.value)


INGEST = "sampling_strategy: span-ingest"
COLLECTOR = "compatibility: collector\n"
WRONG_IN_ONE_MODE = [
    (
        INGEST,
        "type: latency, latency: {threshold_ms: 1, upper_threshold_ms: 9}",
        ".latency.upper_threshold_ms = 9",
        "more spans can make a vote to keep wrong",
        "trace-complete",
    ),
    (
        INGEST,
        "type: not, not: {not_sub_policy: {type: span_count, span_count: {max_spans: 9}}}",
        ".not.not_sub_policy.span_count.max_spans = 9",
        "more spans",
        "trace-complete",
    ),
    (INGEST, "type: completeness", '.type = "completeness"', "more spans", "trace-complete"),
    (
        INGEST,
        "type: drop, drop: {drop_sub_policy: [{type: always_sample}]}",
        '.type = "drop"',
        "defers every keep for ever",
        "remove it",
    ),
    (
        COLLECTOR,
        "type: numeric_attribute, numeric_attribute: {key: k, min_value: 0}",
        '.numeric_attribute = {"min_value": 0, "max_value": null}',
        "the Collector panics",
        "not 0, or compatibility: fixed",
    ),
    (
        COLLECTOR,
        "type: numeric_attribute, numeric_attribute: {key: k, min_value: 5, max_value: 4}",
        ".numeric_attribute.max_value = 4",
        "no number would match",
        "min_value or more",
    ),
]


@pytest.mark.parametrize(("mode", "policy", "setting", "wrong", "remedy"), WRONG_IN_ONE_MODE)
def test_what_one_mode_takes_and_another_not_is_answered_with_the_mode(
    mode: str, policy: str, setting: str, wrong: str, remedy: str, tmp_path: Path
) -> None:
    strategy, compatibility = (f"{mode}, ", "") if mode == INGEST else ("", mode)
    policies = f"policies: [{{name: p, {policy}}}]"
    told = refusal(tmp_path, f"{compatibility}tail_sampling: {{{strategy}{policies}}}")
    assert told.startswith(FIRST + setting)
    assert wrong in told
    assert remedy in told


def test_the_collector_takes_empty_lists_and_a_bound_of_0_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(f"""{COLLECTOR}tail_sampling: {{policies: [
      {{name: a, type: and, and: {{and_sub_policy: []}}}},
      {{name: d, type: drop, drop: {{drop_sub_policy: []}}}},
      {{name: n, type: numeric_attribute,
        numeric_attribute: {{key: k, min_value: 5, max_value: 0}}}}
    ]}}""")
    assert load(path, [], {}).as_collector


def test_a_root_condition_that_is_none_is_told_with_its_place_in_it(tmp_path: Path) -> None:
    told = refusal(tmp_path, "tail_sampling: {root_condition: 'span.nme == 5'}")
    assert told.startswith('tail_sampling.root_condition = "span.nme == 5": ')
    assert "column" in told
    assert "span.nme == 5\n" in told
