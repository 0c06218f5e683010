"""Apache Kafka's jars through Maven, kept in `.cache/kafka/`, and the commands that run them."""

import base64
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from xml.etree import ElementTree as ET

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = REPOSITORY / "tests" / "kafka_broker"
CACHE = REPOSITORY / ".cache" / "kafka"
JAVA_VERSION_MIN = 17
DOWNLOAD_TIMEOUT_S = 900


class MissingToolError(RuntimeError):
    """Java or Maven is not there, or too old."""


def kafka_version() -> str:
    """Return the version of Kafka that the tests run against: the one in the pom."""
    found = ET.parse(SETTINGS / "pom.xml").find(".//{*}kafka.version")
    assert found is not None
    assert found.text
    return found.text


@dataclass(frozen=True)
class KafkaJars:
    """A Java and a folder of jars."""

    java: str
    folder: Path

    @classmethod
    def on_this_machine(cls) -> "KafkaJars":
        """Find Java, find or fetch the jars. MissingToolError names what is not there."""
        return cls(find_java(), fetched(SETTINGS / "pom.xml", CACHE))

    def prepare(
        self, home: Path, *, port: int, controller_port: int, more: str, scram: Sequence[str]
    ) -> None:
        """Write the broker's settings into `home`, `more` above ours, and format its log folder."""
        template = Template((SETTINGS / "server.properties").read_text() + more)
        (home / "server.properties").write_text(
            template.substitute(port=port, controller_port=controller_port, data_dir=home / "log")
        )
        shutil.copy(SETTINGS / "log4j2.yaml", home)
        storage_tool = ["kafka.tools.StorageTool", "format", "--standalone", "-t", _cluster_id()]
        users = [part for user in scram for part in ("--add-scram", user)]
        command = [*self._java(home), *storage_tool, *users]
        command += ["-c", str(home / "server.properties")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise RuntimeError(f"Kafka's storage tool failed:\n{done.stdout}\n{done.stderr}")

    def server_command(self, home: Path) -> list[str]:
        """Return the command that runs the broker prepared in `home`."""
        return [*self._java(home, "-Xmx1g"), "kafka.Kafka", str(home / "server.properties")]

    def controller_command(self, home: Path, *, port: int) -> list[str]:
        """Return the command that runs the controller of that broker alone."""
        of_it = {"process.roles": "controller", "listeners": f"CONTROLLER://127.0.0.1:{port}"}
        options = [part for one in of_it.items() for part in ("--override", "=".join(one))]
        return [*self.server_command(home), *options]

    def _java(self, home: Path, *options: str) -> list[str]:
        logs = f"-Dlog4j2.configurationFile={home / 'log4j2.yaml'}"
        return [self.java, *options, logs, "-cp", f"{self.folder}/*"]


def find_java() -> str:
    """Return the machine's Java. MissingToolError where there is none, or too old a one."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        raise MissingToolError(f"there is no Java (>= {JAVA_VERSION_MIN}).")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA_VERSION_MIN:
        raise MissingToolError(f"{java} is too old, Kafka needs {JAVA_VERSION_MIN}: {said.strip()}")
    return java


def jars_folder(pom: Path, cache: Path) -> Path:
    """Return where below `cache` the jars of a pom are: another pom, another folder."""
    return cache / hashlib.sha256(pom.read_bytes()).hexdigest()[:16]


def fetched(pom: Path, cache: Path) -> Path:
    """Return `jars_folder` with the jars in it. MissingToolError says what is not there."""
    folder = jars_folder(pom, cache)
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(pom, folder)
    return folder


def _fetch(pom: Path, folder: Path) -> None:
    """Copy the jars to a folder beside it first: half a download is never taken for whole."""
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingToolError("there is no Maven (mvn) to fetch Kafka's jars with.")
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={fresh}/jars"]
        command = [maven, "-q", "-B", "-f", str(pom), *goal]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=DOWNLOAD_TIMEOUT_S
        )
        if done.returncode:
            raise MissingToolError(
                f"Maven could not fetch the jars of {pom.parent.name}:\n{done.stdout[-2000:]}"
            )
        (Path(fresh) / "jars").rename(folder)


def _cluster_id() -> str:
    """Return a Kafka uuid: 16 bytes in URL-safe base 64, which must not look like an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22].decode()).startswith("-"):
        pass
    return text
