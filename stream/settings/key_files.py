"""Whether the files that `kafka.` names (certificates, keys) are on this machine and readable."""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stream.settings.errors import Problem, SettingsError

_FILES: Final = (
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
    "sasl.kerberos.keytab",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
)
_FILES_OR_DIRECTORIES: Final = ("ssl.ca.location", "https.ca.location")
_ANY_PLACE: Final = "probe"
"""With it librdkafka looks where systems keep their certificates."""


def check_key_files(kafka: Mapping[str, Any]) -> None:
    """Refuse files that are not there: librdkafka would tell of an OpenSSL error.

    Raises:
        SettingsError: the settings, their values, what is wrong with the files.
    """
    if problems := list(key_file_problems(kafka)):
        raise SettingsError(problems)


def key_file_problems(kafka: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the files that `kafka.` names and that cannot be read here."""
    for name in (*_FILES, *_FILES_OR_DIRECTORIES):
        path = str(kafka.get(name, ""))
        if not path or (name in _FILES_OR_DIRECTORIES and path == _ANY_PLACE):
            continue
        if not os.path.exists(path):  # noqa: PTH110 - as the library takes it, not as a Path
            wrong = "there is no such file on this machine"
        elif name in _FILES and os.path.isdir(path):  # noqa: PTH112 - see above
            wrong = "is a directory, not a file"
        elif not os.access(path, os.R_OK):
            wrong = "cannot be read by this user"
        else:
            continue
        remedy = "correct the path, or mount the file and let the worker's user read it"
        yield Problem(f"kafka.{name}", path, wrong, remedy)
