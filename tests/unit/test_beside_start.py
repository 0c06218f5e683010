"""The commands beside the workers, started while no broker is there."""

import pytest
from click.testing import CliRunner

from stream.cli import main

NOWHERE = "kafka.bootstrap.servers=127.0.0.1:1"


@pytest.mark.parametrize("command", ["export", "rekey", "exemplars"])
def test_who_finds_no_broker_at_its_start_is_to_be_started_again(command: str) -> None:
    told = CliRunner().invoke(main, [command, "--set", NOWHERE, "--set", "topics.unkeyed=unkeyed"])

    # 2 would be for good (RestartPreventExitStatus): after an outage nobody would be there.
    assert told.exit_code == 1
    assert "kafka.bootstrap.servers is '127.0.0.1:1': no broker there can be used" in told.stderr
