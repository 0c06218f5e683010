"""The settings of `tailstream exemplars`: what is refused, and that no header is ever shown."""

from pathlib import Path

import pytest
import yaml

from stream.settings.errors import SettingsError
from stream.settings.load import load
from stream.settings.model import Settings
from stream.settings.template import template


def of(text: str, tmp_path: Path) -> Settings:
    path = tmp_path / "tailstream.yaml"
    path.write_text(text)
    return load(path, (), {"TOKEN": "s3cr3t"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prometheus: {url: prometheus:9090}", 'exemplars.prometheus.url = "prometheus:9090": is'),
        (
            "prometheus: {url: 'http://me:s3cr3t@p'}",
            'exemplars.prometheus.url = "****": has a user',
        ),
        ("prometheus: {queries: []}", "exemplars.prometheus.queries"),
        ("prometheus: {queries: ['']}", "exemplars.prometheus.queries"),
        ("prometheus: {interval: 0s}", "exemplars.prometheus.interval"),
        ("prometheus: {headers: {X-Key: [s3cr3t]}}", 'headers.X-Key = "****": is not text'),
        ("scrape: {urls: [ftp://x]}", "exemplars.scrape.urls"),
        ("scrape: {headers: s3cr3t}", 'exemplars.scrape.headers = "****": must be a map'),
        ("trace_id_labels: []", "exemplars.trace_id_labels"),
        ("ttl: 600", "exemplars.ttl = 600: has no unit"),
        ("pins_remembered_max: 0", "exemplars.pins_remembered_max"),
        ("prometeus: {}", "prometheus"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name_without_a_secret(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as error:
        of(f"exemplars: {{{text}}}", tmp_path)
    assert said in str(error.value)
    assert "s3cr3t" not in str(error.value)


def test_headers_come_from_the_environment_and_are_never_shown(tmp_path: Path) -> None:
    settings = of(
        "exemplars:\n"
        "  prometheus: {url: 'http://p', headers: {Authorization: 'Bearer ${env:TOKEN}'}}\n"
        "  scrape: {urls: ['http://a/metrics'], headers: {X-Key: '${env:TOKEN}'}}\n",
        tmp_path,
    )

    assert settings.exemplars.prometheus.headers == {"Authorization": "Bearer s3cr3t"}
    assert settings.exemplars.scrape.headers == {"X-Key": "s3cr3t"}
    shown = yaml.safe_dump(settings.public()) + repr(settings)
    assert "s3cr3t" not in shown
    assert "X-Key: '****'" in shown


def test_the_template_of_a_block_in_a_block_reads_as_the_defaults(tmp_path: Path) -> None:
    written = yaml.safe_load(template())["exemplars"]
    assert set(written["prometheus"]) == {"url", "headers", "queries", "interval", "overlap"}
    assert of(template(), tmp_path).exemplars == Settings().exemplars


def test_a_pin_that_no_worker_would_hold_for_so_long_is_said_at_the_start() -> None:
    longer = load(None, ["exemplars.ttl=20m"], {})
    fitting = load(None, ["exemplars.ttl=20m", "decisions.retention=20m"], {})

    (note,) = [line for line in longer.notes() if line.startswith("exemplars.ttl: 20m")]
    assert "decisions.retention (10m)" in note
    assert fitting.pin_notes() == load(None, [], {}).pin_notes() == []
