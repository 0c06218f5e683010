"""A Kubernetes API server on this machine's loopback: it judges objects, and runs none."""

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from tests.harness.children import Child
from tests.harness.ports import free_ports
from tests.harness.topics import wait_for
from tests.kubernetes.tools import Tools

READY_TIMEOUT_S: Final = 120.0
END_TIMEOUT_S: Final = 20.0
HOST: Final = "127.0.0.1"


class ApiServer:
    """etcd and a kube-apiserver with a directory of their own, gone at the end."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._directory = tempfile.TemporaryDirectory(prefix="tailstream-kubernetes-")
        self._home = Path(self._directory.name)
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._children):
            child.end(signal.SIGKILL, timeout_s=END_TIMEOUT_S)
        self._directory.cleanup()

    def kubectl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run kubectl against this server, as its administrator."""
        env = {**os.environ, "KUBECONFIG": str(self._home / "kubeconfig")}
        command = [str(self._tools.kubectl), *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    def demand(self, *arguments: str) -> str:
        """Run kubectl; RuntimeError with what it said where it fails."""
        ended = self.kubectl(*arguments)
        if ended.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}:\n{ended.stderr}")
        return ended.stdout

    def _start(self) -> None:
        client, peer, secure = free_ports(3)
        token, key = os.urandom(16).hex(), self._home / "sa.key"
        (self._home / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
        make_key = [str(self._tools.openssl), "genrsa", "-out", str(key), "2048"]
        subprocess.run(make_key, check=True, capture_output=True)
        self._run_etcd(client, peer)
        self._run_server(client, secure, key)
        self._write_kubeconfig(secure, token)
        wait_for(
            "the API server",
            lambda: self.kubectl("get", "--raw", "/readyz").returncode == 0,
            timeout_s=READY_TIMEOUT_S,
        )

    def _run_etcd(self, client: int, peer: int) -> None:
        urls = {"client": f"http://{HOST}:{client}", "peer": f"http://{HOST}:{peer}"}
        options = [
            f"--data-dir={self._home / 'etcd'}",
            f"--listen-client-urls={urls['client']}",
            f"--advertise-client-urls={urls['client']}",
            f"--listen-peer-urls={urls['peer']}",
            f"--initial-advertise-peer-urls={urls['peer']}",
            f"--initial-cluster=default={urls['peer']}",
        ]
        log = self._home / "etcd.log"
        self._children.append(Child([str(self._tools.etcd), *options], log=log))

    def _run_server(self, client: int, secure: int, key: Path) -> None:
        options = [
            f"--etcd-servers=http://{HOST}:{client}",
            f"--bind-address={HOST}",
            f"--secure-port={secure}",
            f"--cert-dir={self._home / 'certificates'}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--service-account-issuer=https://{HOST}",
            f"--token-auth-file={self._home / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            # No controller runs that would make each namespace its account.
            "--disable-admission-plugins=ServiceAccount",
        ]
        log = self._home / "server.log"
        self._children.append(Child([str(self._tools.apiserver), *options], log=log))

    def _write_kubeconfig(self, secure: int, token: str) -> None:
        server = {"server": f"https://{HOST}:{secure}", "insecure-skip-tls-verify": True}
        tree = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": server}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
            "current-context": "here",
        }
        (self._home / "kubeconfig").write_text(json.dumps(tree))
