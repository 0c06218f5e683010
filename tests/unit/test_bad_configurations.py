"""What users get wrong: each refusal names the setting, the value and the remedy."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner

from stream.cli import main
from stream.otlp.scan import scan
from stream.sampling.matcher import Matcher
from stream.settings.compiled import policies_of
from stream.settings.errors import SettingsError
from stream.settings.key_files import check_key_files
from stream.settings.load import load
from stream.testing.spans import a_span, traces_data

FILE: Final = Path(__file__).parent / "vectors" / "bad_configurations.yaml"
CASES: Final[list[dict[str, Any]]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
CASES_MIN: Final = 200


def refusal(config: str, directory: Path) -> str:
    """What `load` refuses a file with, as the operator sees it."""
    path = directory / "bad.yaml"
    path.write_text(config, encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        load(path, [], {})
    return str(refused.value).replace(f"{directory}/", "")


@pytest.mark.parametrize("case", CASES, ids=[case["about"] for case in CASES])
def test_a_bad_configuration_is_refused_with_setting_value_and_remedy(
    case: dict[str, Any], tmp_path: Path
) -> None:
    line, *pointed_at = refusal(case["config"], tmp_path).splitlines()
    value = f" = {case['value']}: " if "value" in case else ": "
    assert line.startswith(case["setting"] + value)
    wrong, separator, remedy = line.removeprefix(case["setting"] + value).partition("; ")
    assert case["wrong"] in wrong
    assert separator
    assert case["remedy"] in remedy
    # One mistake, one problem; below an OTTL condition's stand its line and a caret.
    assert len(pointed_at) == (2 if ", column " in wrong else 0)


def test_the_bad_configurations_differ_and_cover_every_section() -> None:
    assert len({case["config"] for case in CASES}) == len(CASES) >= CASES_MIN
    sections = {case["setting"].partition(".")[0].partition(" ")[0] for case in CASES}
    named = "compatibility kafka worker topics tail_sampling decisions storage limits output export"
    assert {*named.split(), "web", "log", "processors", "bad"} <= sections


def test_several_mistakes_are_told_at_once_one_a_line(tmp_path: Path) -> None:
    config = """\
        tail_sampling:
          decision_wait: 10
          policies:
            - {name: slow, type: latency, latency: {threshold_ms: 5s}}
            - {name: slow, type: latancy}
        topics: {inputs: a}
        """
    lines = refusal(config, tmp_path).splitlines()
    assert [line.partition(" = ")[0] for line in lines] == [
        "topics.inputs",
        "tail_sampling.decision_wait",
        "tail_sampling.policies[0] (slow).latency.threshold_ms",
        "tail_sampling.policies[1] (slow).type",
    ]


def test_policies_of_one_name_are_all_named(tmp_path: Path) -> None:
    policy = "{name: errors, type: always_sample}"
    lines = refusal(f"tail_sampling: {{policies: [{policy}, {policy}]}}", tmp_path).splitlines()
    assert lines == [
        f'tail_sampling.policies[{index}].name = "errors": 2 policies have this name; '
        "give each a name of its own"
        for index in range(2)
    ]


def test_what_a_terminal_would_obey_is_told_as_an_escape(tmp_path: Path) -> None:
    config = r'tail_sampling: {policies: [{name: "a\e[31m\nb", type: "\u202ex", "\a": 5}]}'
    told = refusal(config, tmp_path)
    assert told.replace("\n", "").isprintable()
    assert r"(a\u001b[31m\nb).type" in told
    assert r'"\u202ex"' in told


def test_a_long_name_or_value_is_cut(tmp_path: Path) -> None:
    config = f"tail_sampling: {{policies: [{{name: {'n' * 500}, type: {'t' * 500}}}]}}"
    place, _, value = refusal(config, tmp_path).partition(": no such type")[0].partition(" = ")
    assert place == f"tail_sampling.policies[0] ({'n' * 57}...).type"
    assert value == f'"{"t" * 116}...'


@pytest.mark.parametrize(
    ("name", "file", "wrong"),
    [
        ("ssl.ca.location", "none.pem", "there is no such file on this machine"),
        ("ssl.certificate.location", "none.pem", "there is no such file on this machine"),
        ("ssl.key.location", "", "is a directory, not a file"),
    ],
)
def test_a_certificate_or_key_that_is_not_there_is_named(
    name: str, file: str, wrong: str, tmp_path: Path
) -> None:
    path = tmp_path / file
    settings = load(None, [f"kafka.{name}={path}", "kafka.security.protocol=SSL"], {})
    with pytest.raises(SettingsError) as refused:
        check_key_files(settings.kafka)
    (line,) = str(refused.value).splitlines()
    assert line == (
        f'kafka.{name} = "{path}": {wrong}; correct the path, or mount the file and let the '
        "worker's user read it"
    )


def test_certificates_that_are_there_are_taken(tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch()
    check_key_files({"ssl.ca.location": "probe"})
    check_key_files({"ssl.ca.location": str(tmp_path), "ssl.key.location": tmp_path / "key.pem"})


@pytest.mark.parametrize(
    "servers",
    ["broker", "a:9092, b:9092,", "[::1]:9092", "[::1]", "SASL_SSL://a:9092,plaintext://b", "9092"],
)
def test_addresses_that_librdkafka_understands_are_taken(servers: str) -> None:
    overrides = [f'kafka.bootstrap.servers="{servers}"']
    assert load(None, overrides, {}).kafka["bootstrap.servers"] == servers


MISSING: Final = (
    "--set",
    "kafka.security.protocol=SSL",
    "--set",
    "kafka.ssl.ca.location=/none.pem",
)


@pytest.mark.parametrize(
    "command",
    [["tail"], ["explain", "a" * 32], ["export"], ["rekey"], ["topics"], ["generate"]],
    ids=lambda command: command[0],
)
def test_who_goes_to_kafka_looks_at_the_certificates_first(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, *MISSING], catch_exceptions=False)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith('kafka.ssl.ca.location = "/none.pem": there is no such file')


def test_validate_takes_certificates_that_are_elsewhere_and_says_so() -> None:
    result = CliRunner().invoke(main, ["validate", *MISSING], catch_exceptions=False)
    assert result.exit_code == 0
    assert 'a start on this machine is refused: kafka.ssl.ca.location = "/none.pem"' in (
        result.output
    )


NESTED: Final = {
    "not": ("not: {not_sub_policy: %s}", 60),
    "and": ("and: {and_sub_policy: [%s]}", 40),
    "composite": ("composite: {max_total_spans_per_second: 9, composite_sub_policy: [%s]}", 40),
}


@pytest.mark.parametrize("kind", NESTED)
def test_policies_nest_deep_and_too_deep_is_refused(kind: str, tmp_path: Path) -> None:
    options, depth = NESTED[kind]

    def nested(levels: int) -> str:
        policy = "{name: all, type: always_sample}"
        for _ in range(levels):
            policy = f"{{name: p, type: {kind}, {options % policy}}}"
        return f"tail_sampling: {{policies: [{policy}]}}"

    (path := tmp_path / "deep.yaml").write_text(nested(depth))
    settings = load(path, [], {})
    assert settings.public()["tail_sampling"]["policies"]
    assert bool(settings.notes()) is (kind == "composite")
    assert len(settings.policies_hash()) == 8
    policies = policies_of(settings.tail_sampling, Matcher()).of_partition()
    (fragment,) = scan(traces_data(a_span()), Matcher().plan()).fragments
    assert policies.judge(fragment).ballot.count("(") == depth
    assert "nested too deeply (more than 128 levels); write it flatter" in refusal(
        nested(depth + 10), tmp_path
    )
