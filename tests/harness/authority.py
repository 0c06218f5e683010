"""Certificates for the tests, made by openssl: an authority, and what it signs."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

DAYS = "2"
TIMEOUT_S = 60


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates for this machine's address. `certificate` is what others trust it by."""

    def __init__(self, directory: Path, name: str) -> None:
        assert shutil.which("openssl"), "these tests make certificates: install openssl"
        self._home = directory / name
        self._home.mkdir()
        self._own = self._files("authority")
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", DAYS, "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign"),
            *("-keyout", str(self._own.key), "-out", str(self._own.certificate)),
        )
        self.certificate = self._own.certificate

    def sign(self, name: str, *, password: str = "") -> Signed:
        """Return a new certificate for a server or a client; the key is locked by the password."""
        files = self._files(name)
        request = self._home / f"{name}.csr"
        locked = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *locked),
            *("-subj", f"/CN={name}", "-keyout", str(files.key), "-out", str(request)),
        )
        extensions = self._home / f"{name}.cnf"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        _openssl(
            *("x509", "-req", "-in", str(request), "-days", DAYS, "-extfile", str(extensions)),
            *("-CA", str(self._own.certificate), "-CAkey", str(self._own.key), "-CAcreateserial"),
            *("-out", str(files.certificate)),
        )
        return files

    def _files(self, name: str) -> Signed:
        return Signed(self._home / f"{name}.pem", self._home / f"{name}.key")


def _openssl(*arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"openssl {arguments[0]}: {done.stderr}"
