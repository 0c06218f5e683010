"""Topics that a command cannot do without: looked for before it starts."""

from collections.abc import Mapping
from typing import Any

from stream.kafka.topics import ClusterError, TopicFacts, describe


def required_topics(kafka: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, TopicFacts]:
    """Return the facts of topics, by the settings that name them (`topics.output` -> its name).

    Raises:
        ClusterError: one of them is not there, or no broker answers.
    """
    found = describe(kafka, names.values())
    missing = [
        f"{setting} is {name!r}: the cluster has no such topic: correct the name, or create it "
        "(tailstream topics --create makes those that the settings speak of)"
        for setting, name in names.items()
        if name not in found
    ]
    if missing:
        raise ClusterError("\n".join(missing))
    return {setting: found[name] for setting, name in names.items()}
