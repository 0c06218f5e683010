"""Whether `storage.directory` can be a directory on this machine: looked at, nothing is made."""

from pathlib import Path

from stream.settings.errors import Problem, SettingsError

REMEDY = "name a directory, this worker's own; what is not there is made"


def check_directory(directory: Path) -> None:
    """Refuse a storage directory where a file is, or below a file.

    Raises:
        SettingsError: the setting, its value, what is there instead.
    """
    for place in (directory, *directory.parents):
        if place.is_file():
            which = "is" if place == directory else f"{place} is"
            wrong = f"{which} a file, not a directory"
            raise SettingsError([Problem("storage.directory", str(directory), wrong, REMEDY)])
