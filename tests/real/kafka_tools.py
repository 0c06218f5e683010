"""Kafka's own command line tools, as an operator has them, through Maven: kept in `.cache/`."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tests.harness.kafka_jars import MissingToolError, fetched, find_java, jars_folder
from tests.harness.repository import ROOT

POM: Final = Path(__file__).with_name("kafka_tools_pom") / "pom.xml"
CACHE: Final = ROOT / ".cache" / "kafka-tools"
CONSUMER_GROUPS: Final = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
"""What `kafka-consumer-groups.sh` runs."""
TIMEOUT_S: Final = 180


def tools_version() -> str:
    """Return the version of the tools: the one in the pom."""
    found = ET.parse(POM).find(".//{*}tools.version")
    assert found is not None
    assert found.text
    return found.text


def build() -> None:
    """Fetch the tools, if they are not there. MissingToolError says what to install."""
    find_java()
    fetched(POM, CACHE)


def described(bootstrap: str, group: str) -> str:
    """Return what `kafka-consumer-groups.sh --describe --group` prints."""
    jars = jars_folder(POM, CACHE)
    if not jars.is_dir():
        raise MissingToolError("Kafka's tools are not there: make test-real fetches them")
    command = [find_java(), "-cp", f"{jars}/*", CONSUMER_GROUPS]
    command += ["--bootstrap-server", bootstrap, "--describe", "--group", group]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def rows(table: str) -> list[Mapping[str, str]]:
    """Return the rows of a printed table by the names of its columns."""
    lines = [line.split() for line in table.splitlines() if line.strip()]
    head = next(index for index, line in enumerate(lines) if line[0] == "GROUP")
    return [dict(zip(lines[head], line, strict=True)) for line in lines[head + 1 :]]
