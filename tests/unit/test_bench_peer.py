"""The comparison's Collector: what stops it says what to do."""

import stat
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.peer.build import NoCollectorError, collector, version_of


def a_go(directory: Path, script: str) -> None:
    go = directory / "go"
    go.write_text(f"#!/bin/sh\n{script}\n")
    go.chmod(go.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def only_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


def built(tmp_path: Path) -> Path:
    return collector(Console(quiet=True), cache=tmp_path / "cache")


@pytest.mark.usefixtures("only_path")
def test_without_go_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoCollectorError, match=r"no `go` here. Install Go 1.25 or later"):
        built(tmp_path)


def test_an_old_go_is_named(only_path: Path, tmp_path: Path) -> None:
    a_go(only_path, "echo go1.24.9")
    with pytest.raises(NoCollectorError, match=r"`go` here is go1.24.9"):
        built(tmp_path)


def test_a_failed_build_says_what_go_said_and_leaves_no_binary(
    only_path: Path, tmp_path: Path
) -> None:
    a_go(only_path, '[ "$1" = env ] && echo go1.26.1 && exit\necho no such module >&2; exit 1')
    with pytest.raises(NoCollectorError, match=r"(?s)set GOPROXY.*no such module"):
        built(tmp_path)
    assert not list(tmp_path.glob("cache/*/otelcol-peer"))


def test_the_versions_are_those_of_the_manifest() -> None:
    assert version_of() == {
        "kafkareceiver": "v0.158.0",
        "tailsamplingprocessor": "v0.160.0",
        "kafkaexporter": "v0.160.0",
    }
