"""deploy/Dockerfile: what can be known of the image without building it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.command_line import parsed
from tests.harness.repository import ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Return (instruction, the rest of it), lines joined, in order."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (word, " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())
    ]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    begins = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    return found[begins:]


def hadolint() -> str:
    """Return the hadolint beside this Python, or the one in the PATH."""
    beside = Path(sys.executable).parent / "hadolint"
    found = str(beside) if beside.exists() else shutil.which("hadolint")
    if found is None:
        pytest.fail("there is no hadolint here: `make install` brings it", pytrace=False)
    return found


def test_hadolint_finds_nothing() -> None:
    linted = subprocess.run(
        [hadolint(), str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_both_stages_are_of_one_pinned_python() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    versions = {re.fullmatch(r"python:(\d+\.\d+\.\d+)-(slim-)?(\w+)", base) for base in bases}
    assert None not in versions
    assert len({(found[1], found[3]) for found in versions if found}) == 1


def test_every_package_that_is_installed_is_the_one_in_the_constraints() -> None:
    (first, *_) = [rest for word, rest in instructions() if word == "ENV"]
    assert "PIP_CONSTRAINT=/src/constraints.txt" in first
    assert "PIP_BUILD_CONSTRAINT=/src/constraints.txt" in first
    pinned = (ROOT / "constraints.txt").read_text()
    assert re.search(r"^setuptools==", pinned, re.MULTILINE)
    assert re.search(r"^Cython==", pinned, re.MULTILINE)


def test_the_process_is_not_root_and_its_directory_is_its_own() -> None:
    stage = dict(last_stage())
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", stage["USER"])
    assert stage["WORKDIR"] == "/var/lib/tailstream"
    assert "install --directory --owner=tailstream" in stage["RUN"]


def test_the_image_runs_tailstream_and_by_default_a_worker() -> None:
    stage = dict(last_stage())
    assert stage["ENTRYPOINT"] == '["tailstream"]'
    assert stage["CMD"] == '["worker"]'
    assert parsed(["worker"]) is not None


def test_what_is_copied_into_the_build_is_there_and_is_not_ignored() -> None:
    copied = [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "stream" in copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    assert "*" in ignored, "only what is named gets into the build"
    assert "**/*.so" in ignored, "the image compiles the core itself"
