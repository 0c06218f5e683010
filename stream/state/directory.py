"""The storage directory: this process's own, and empty when it begins."""

import fcntl
import os
import shutil
from pathlib import Path

PRIVATE = 0o700
"""Spans lie in it, and whatever secrets applications wrote into them."""


class StorageError(Exception):
    """The operator has to look at the storage directory; the text names it, and the remedy."""


def lock(directory: Path) -> int:
    """Take the directory for this process; the kernel lets go of it when the process dies.

    RocksDB's own lock comes too late: what it protects has to be wiped before it is opened.
    """
    try:
        directory.mkdir(PRIVATE, parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise storage_error(directory, "cannot be used", exc) from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(lock)
        text = f"storage.directory: {directory} is in use by another live process; "
        raise StorageError(text + "give each worker on a machine a directory of its own") from exc
    except OSError as exc:
        os.close(lock)
        raise storage_error(directory, "cannot be locked", exc) from exc
    return lock


def wipe(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def storage_error(directory: Path, what: str, cause: Exception) -> StorageError:
    """Return what tells the operator."""
    remedy = "it needs a local disk with free space that this user may write to"
    return StorageError(f"storage.directory: {directory} {what}: {cause}; {remedy}")
