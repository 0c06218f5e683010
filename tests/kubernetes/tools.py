"""helm, kubectl and a real API server: those in the PATH, else built from their Go modules."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.harness.repository import ROOT

CACHE: Final = ROOT / ".cache" / "kubernetes"
KUBERNETES: Final = "1.37.2"
HELM: Final = "4.3.1"
KEDA: Final = "github.com/kedacore/keda/v2@v2.21.0"
PROMETHEUS_OPERATOR: Final = (
    "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring@v0.95.1"
)
CONTROLLER_GEN: Final = "sigs.k8s.io/controller-tools/cmd/controller-gen@v0.23.0"
BUILD_TIMEOUT_S: Final = 3_600
LOG_LINES: Final = 20


class NoToolError(RuntimeError):
    """Something cannot be had on this machine. The text says what to install."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the programs are, and the folder with the operators' CRDs."""

    helm: Path
    kubectl: Path
    apiserver: Path
    etcd: Path
    openssl: Path
    crds: Path


def tools() -> Tools:
    """Return the tools, those that are missing built (once; a quarter of an hour on two cores).

    Raises:
        NoToolError: no Go, etcd or openssl, or a build failed.
    """
    etcd = _in_path("etcd", "Debian and Ubuntu: apt-get install etcd-server")
    openssl = _in_path("openssl", "Debian and Ubuntu: apt-get install openssl")
    return Tools(
        helm=_found("helm") or _helm(),
        kubectl=_found("kubectl") or _kubernetes("kubectl"),
        apiserver=_found("kube-apiserver") or _kubernetes("kube-apiserver"),
        etcd=etcd,
        openssl=openssl,
        crds=_crds(),
    )


def _found(name: str) -> Path | None:
    found = os.environ.get(name.upper().replace("-", "_")) or shutil.which(name)
    return Path(found) if found else None


def _in_path(name: str, remedy: str) -> Path:
    found = _found(name)
    if found is None:
        raise NoToolError(f"there is no {name} here. {remedy}")
    return found


def _helm() -> Path:
    return _built(f"helm.sh/helm/v4/cmd/helm@v{HELM}", replaces=())


def _kubernetes(name: str) -> Path:
    """Build a program of Kubernetes: its own go.mod pins its parts at v0.0.0, so they are named."""
    downloaded = _downloaded(f"k8s.io/kubernetes@v{KUBERNETES}")
    parts = re.findall(
        r"^\s*(k8s\.io/[\w-]+) v0\.0\.0$", Path(downloaded["GoMod"]).read_text(), re.MULTILINE
    )
    replaces = tuple(f"{part}={part}@v0{KUBERNETES[1:]}" for part in parts)
    return _built(f"k8s.io/kubernetes/cmd/{name}@v{KUBERNETES}", replaces=replaces)


def _crds() -> Path:
    """Return a folder with the CRDs that the chart's optional objects are of."""
    folder = _directory(KEDA + PROMETHEUS_OPERATOR)
    if not (folder / "complete").exists():
        bases = Path(_downloaded(KEDA)["Dir"]) / "config" / "crd" / "bases"
        for kind in ("scaledobjects", "triggerauthentications"):
            shutil.copyfile(bases / f"keda.sh_{kind}.yaml", folder / f"{kind}.yaml")
        generator = _built(CONTROLLER_GEN, replaces=())
        module, _, _ = PROMETHEUS_OPERATOR.partition("@")
        wrapper = _wrapper(PROMETHEUS_OPERATOR, "", ())
        types = f"paths={module}/v1"
        command = [str(generator), "crd:crdVersions=v1", types, f"output:crd:dir={folder}"]
        _run(command, wrapper)
        (folder / "complete").touch()
    return folder


def _built(package: str, *, replaces: Sequence[str]) -> Path:
    """Build a package (`path@version`) in a module of its own; return the program."""
    path, _, version = package.partition("@")
    directory = _directory(package)
    program = directory / path.rpartition("/")[2]
    if not program.exists():
        print(f"Building {path} {version} from its Go module, once ...", flush=True)
        wrapper = _wrapper(package, path, replaces)
        flags = ["-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
        _run(["go", "build", *flags, "-o", f"{program}.new", path], wrapper)
        Path(f"{program}.new").rename(program)  # whole or not there
    return program


def _wrapper(package: str, tool: str, replaces: Sequence[str]) -> Path:
    """Return a directory with a module that requires a package, and imports it by `tool`."""
    if shutil.which("go") is None:
        raise NoToolError("there is no `go` here. Install Go (https://go.dev/dl)")
    wrapper = _directory(package) / "module"
    shutil.rmtree(wrapper, ignore_errors=True)
    wrapper.mkdir()
    _run(["go", "mod", "init", "wrapper"], wrapper)
    for replace in replaces:
        _run(["go", "mod", "edit", f"-replace={replace}"], wrapper)
    path, _, version = package.partition("@")
    _run(["go", "get", f"{path if tool else path + '/v1'}@{version}"], wrapper)
    return wrapper


def _downloaded(module: str) -> dict[str, Any]:
    """Return what `go mod download` says of a module: its Dir, its GoMod."""
    CACHE.mkdir(parents=True, exist_ok=True)
    said = _run(["go", "mod", "download", "-json", module], CACHE)
    found: dict[str, Any] = json.loads(said)
    return found


def _directory(key: str) -> Path:
    directory = CACHE / hashlib.sha256(key.encode()).hexdigest()[:12]
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _run(command: Sequence[str], directory: Path) -> str:
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    ended = subprocess.run(
        command,
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if ended.returncode:
        last = "\n".join(ended.stderr.splitlines()[-LOG_LINES:])
        raise NoToolError(f"{' '.join(command)} ended with {ended.returncode}:\n{last}")
    return ended.stdout
