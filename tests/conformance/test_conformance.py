"""Every verdict is the real Collector's, as recorded (`make conformance-record`), but for bugs.

What is compared how, and what is not: README.md here.
"""

from pathlib import Path
from typing import Any, Final

import pytest

from stream.settings.errors import SettingsError
from stream.settings.policies import POLICY_BLOCKS
from tests.conformance.bugs import BUGS, REFUSED
from tests.conformance.configurations import Configuration, configurations, starts
from tests.conformance.corpus import CORPORA, TRACES, corpus
from tests.conformance.recording import ANEW, recording, told
from tests.conformance.replay import replay, settings_of

OURS: Final = {"completeness"}
"""Policies that no Collector has."""

CONFIGURATIONS: Final = list(configurations().values())
EACH: Final = pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda one: one.name)


def verdicts(configuration: Configuration, compatibility: str, directory: Path) -> Any:
    """Return ours, as they are compared."""
    settings = settings_of(configuration.block, compatibility, directory)
    source = corpus(configuration.corpus)
    return told(configuration, source, replay(configuration, settings))


def notes(configuration: Configuration, directory: Path) -> list[str]:
    """Return what the start says of differences under `compatibility: collector`."""
    settings = settings_of(configuration.block, "collector", directory)
    return [note for note in settings.notes() if "as in the Collector v0.158" in note]


@EACH
def test_under_compatibility_collector_every_verdict_is_the_collectors(
    configuration: Configuration, tmp_path: Path
) -> None:
    assert verdicts(configuration, "collector", tmp_path) == recording().of(configuration)


@EACH
def test_under_compatibility_fixed_verdicts_differ_where_known_bugs_say_so_and_nowhere_else(
    configuration: Configuration, tmp_path: Path
) -> None:
    if REFUSED.intersection(configuration.differs):
        with pytest.raises(SettingsError, match="compatibility: collector"):
            verdicts(configuration, "fixed", tmp_path)
        return
    same = verdicts(configuration, "fixed", tmp_path) == recording().of(configuration)
    assert same is not bool(configuration.differs)


@EACH
def test_the_start_names_every_bug_for_which_verdicts_differ(
    configuration: Configuration, tmp_path: Path
) -> None:
    said = notes(configuration, tmp_path)
    unsaid = [bug for bug in configuration.differs if not any(BUGS[bug] in note for note in said)]
    assert not unsaid
    unknown = [note for note in said if not any(what in note for what in BUGS.values())]
    assert not unknown


def test_each_known_bug_is_seen_to_make_a_difference() -> None:
    seen = {bug for configuration in CONFIGURATIONS for bug in configuration.differs}
    assert seen == BUGS.keys()


@pytest.mark.parametrize("name", starts())
def test_tailstream_starts_with_what_the_collector_starts_with_or_it_is_told_why_not(
    name: str, tmp_path: Path
) -> None:
    start = starts()[name]
    try:
        settings_of(start.block, "collector", tmp_path)
    except SettingsError:
        ours = False
    else:
        ours = True
    assert (ours == recording().starts[name]) is not bool(start.why)


def test_what_was_recorded_is_what_is_replayed() -> None:
    recorded = recording()
    assert recorded.corpora == {name: corpus(name).digest for name in CORPORA}, ANEW
    assert recorded.verdicts.keys() == configurations().keys(), ANEW
    assert recorded.starts.keys() == starts().keys(), ANEW
    assert recorded.collector == "v0.158.0"


def test_every_policy_of_the_collector_is_seen_to_keep_some_of_2000_traces_and_not_others() -> None:
    seen: set[str] = set()
    telling = [one for one in CONFIGURATIONS if _tells(recording().of(one))]
    for configuration in telling:
        seen |= _types(configuration.block)
    assert seen == POLICY_BLOCKS.keys() - OURS
    assert len(telling) >= 60
    assert TRACES == 2_000


def _tells(recorded: Any) -> bool:
    """Whether some traces are kept and some are not."""
    kept = sum(recorded.values()) if isinstance(recorded, dict) else sum(map(bool, recorded))
    return 0 < kept < TRACES


def _types(tree: Any) -> set[str]:
    if isinstance(tree, list):
        return {found for each in tree for found in _types(each)}
    if not isinstance(tree, dict):
        return set()
    found = {tree["type"]} if "type" in tree else set()
    return found.union(*(_types(each) for each in tree.values()))
