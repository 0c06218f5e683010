"""The settings of export and rekey: what is refused, and that no header's value is ever shown."""

from pathlib import Path

import pytest
import yaml

from stream.settings.errors import SettingsError
from stream.settings.load import load
from stream.settings.model import Settings


def refused(text: str, tmp_path: Path) -> str:
    path = tmp_path / "tailstream.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as error:
        load(path, (), {})
    return str(error.value)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("localhost:4318", 'export.endpoint = "localhost:4318": is not an http or https URL'),
        ("ftp://host/", 'export.endpoint = "ftp://host/": is not an http'),
        ("http://", 'export.endpoint = "http://": is not'),
        ("http://host:port/", 'export.endpoint = "http://host:port/": is not'),
        ("http://a..b/", 'export.endpoint = "http://a..b/": is not'),
        (r"http://a\b/", 'export.endpoint = "http://a\\\\b/": is not'),
        ("'http://a host/'", 'export.endpoint = "http://a host/": is not'),
        ("https://me:s3cr3t@host", 'export.endpoint = "****": has a user or password in it'),
    ],
)
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str, said: str, tmp_path: Path) -> None:
    text = refused(f"export: {{endpoint: {endpoint}}}", tmp_path)
    assert text.startswith(said)
    assert "s3cr3t" not in text


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ("{X-Key: ''}", 'export.headers.X-Key = "****": is not text; write'),
        ("{X-Key: [s3cr3t]}", 'export.headers.X-Key = "****": is not text; write'),
        ('{X-Key: "s3cr3t\\nHost: b"}', 'export.headers.X-Key = "****": has characters'),
        ("{'X Key': s3cr3t}", 'export.headers = "****": has a name that no HTTP header'),
        ("{Content-Type: s3cr3t}", 'export.headers.Content-Type = "****": not yours to set'),
        ("s3cr3t", 'export.headers = "****": must be a map'),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(
    headers: str, said: str, tmp_path: Path
) -> None:
    text = refused(f"export: {{headers: {headers}}}", tmp_path)
    assert text.startswith(said)
    assert "s3cr3t" not in text


def test_headers_come_from_the_environment_and_are_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "tailstream.yaml"
    path.write_text("export: {headers: {Authorization: 'Bearer ${env:TOKEN}', X-Tenant: blue}}")

    settings = load(path, (), {"TOKEN": "s3cr3t"})

    assert dict(settings.export.headers) == {"Authorization": "Bearer s3cr3t", "X-Tenant": "blue"}
    shown = yaml.safe_dump(settings.public()) + repr(settings)
    assert "s3cr3t" not in shown
    assert "blue" not in shown
    assert "Authorization: '****'" in shown


def test_the_names_may_be_left_empty_as_the_template_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "tailstream.yaml"
    path.write_text("topics:\n  unkeyed:\nexport:\n  consumer_group:\n  headers:\n")
    settings = load(path, (), {})
    assert settings.topics.unkeyed == ""
    assert settings.export == Settings().export


def test_a_header_can_be_set_on_the_command_line() -> None:
    settings = load(None, ("export.headers.X-Key=abc",), {})
    assert settings.export.headers == {"X-Key": "abc"}
