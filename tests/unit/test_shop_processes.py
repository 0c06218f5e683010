"""The shop's processes: what they say when they fail, and that none is left behind."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stream.demo.shop.processes import ServiceFailedError, ServiceProcess
from stream.demo.shop.service import Service, Setup

TIMEOUT_S = 60.0
CHILDREN = len(Service) + 1
"""The services and the worker."""


def psp(port: int) -> Setup:
    return Setup(
        service=Service.PSP,
        bootstrap="127.0.0.1:1",
        spans_topic="spans",
        checkouts_topic="checkouts",
        port=port,
    )


def test_a_service_that_does_not_start_says_why(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        ServiceProcess(psp(taken.getsockname()[1]), tmp_path) as service,
        pytest.raises(
            ServiceFailedError, match=r"psp did not start .*(\n.*)*address already in use"
        ),
    ):
        service.wait_until_ready()


def test_a_service_that_ends_by_itself_is_noticed(tmp_path: Path) -> None:
    with ServiceProcess(psp(0), tmp_path) as service:
        service.wait_until_ready()
        service.check()
        process = service._process
        assert process is not None
        process.kill()
        process.wait(TIMEOUT_S)
        with pytest.raises(ServiceFailedError, match="psp ended by itself"):
            service.check()


def test_a_service_that_is_told_to_end_gives_its_account(tmp_path: Path) -> None:
    with ServiceProcess(psp(0), tmp_path) as service:
        service.wait_until_ready()
        assert service.stop() == {"exported": 0, "dropped": 0}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_shop_that_is_told_to_end_leaves_no_process_and_no_file(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "stream.cli", "demo", "shop", "--requests", "1000000"]
    with subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stderr is not None
            assert "sending" in run.stderr.readline()
            children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
            assert len(children) == CHILDREN
            assert list(tmp_path.iterdir())
            ended = [os.pidfd_open(int(child)) for child in children]
            run.send_signal(number)
            _, said = run.communicate(timeout=TIMEOUT_S)
        finally:
            run.kill()
    assert run.returncode == code
    assert "Traceback" not in said
    assert all(select.select([each], [], [], 0)[0] for each in ended)
    for each in ended:
        os.close(each)
    assert list(tmp_path.iterdir()) == []
