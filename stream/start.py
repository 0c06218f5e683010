"""What is looked at before a worker starts: a refusal names what, which value, what to do."""

from stream import logs
from stream.exits import Exit, end_process
from stream.kafka.topic_rules import Level, Needs, check
from stream.kafka.topics import ClusterError, describe, read_cluster
from stream.settings.model import Settings
from stream.slot import Slot
from stream.version import build

log = logs.logger("tailstream")


def check_start(settings: Settings, *, check_topics: bool) -> None:
    """Say what runs, and refuse what cannot work."""
    log.info("tailstream", **build(), policies=settings.policies_hash())
    log.warning("the core runs in pure Python: about ten times the CPU of a compiled one")
    for note in settings.notes():
        log.info(note)
    Slot(settings.storage.directory).wait()
    if check_topics:
        _check_topics(settings)


def needs_of(settings: Settings) -> Needs:
    """Return what the topics are checked against."""
    topics = settings.topics
    return Needs(
        input=topics.input,
        output=topics.output,
        decisions=topics.decisions,
        dead_letters=topics.dead_letters,
        message_bytes_max=settings.output.message_bytes_max,
        bootstrap=str(settings.kafka["bootstrap.servers"]),
    )


def _check_topics(settings: Settings) -> None:
    needs = needs_of(settings)
    try:
        read_cluster(settings.kafka)
        found = check(describe(settings.kafka, needs.roles().values()), needs)
    except ClusterError as problem:
        end_process(Exit.OPERATOR, str(problem))
    for finding in found:
        if finding.level is Level.WARN:
            log.warning(finding.text)
    refused = [finding.text for finding in found if finding.level is Level.REFUSE]
    if refused:
        end_process(Exit.OPERATOR, "; ".join(refused))
