"""`tailstream demo` as a process: what it leaves behind however it ends, and what it says."""

import os
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.cli import main
from stream.cli.demo_story import end_of

TIMEOUT_S = 60
END_TIMEOUT_S = 10.0


@contextmanager
def demo_running(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A demo without end that has begun to send, and a file descriptor of its worker's process."""
    with subprocess.Popen(
        [sys.executable, "-m", "stream.cli", "demo", "--traces", "1000000"],
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as demo:
        try:
            assert demo.stdout is not None
            assert "sending" in demo.stdout.readline()
            (worker,) = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
            ended = os.pidfd_open(int(worker))
            try:
                yield demo, ended
            finally:
                os.close(ended)
        finally:
            demo.kill()


def has_ended(process: int, timeout_s: float = END_TIMEOUT_S) -> bool:
    """Whether a process ends, of which this is a descriptor."""
    return bool(select.select([process], [], [], timeout_s)[0])


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_demo_that_is_told_to_end_leaves_no_worker_and_no_files(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    with demo_running(tmp_path) as (demo, worker):
        assert list(tmp_path.iterdir())
        demo.send_signal(number)
        _, said = demo.communicate(timeout=TIMEOUT_S)
        assert demo.returncode == code
        assert "Traceback" not in said
        assert has_ended(worker, 0)
        assert list(tmp_path.iterdir()) == []


CHILD = """
import os, signal
from stream.demo.worker_child import end_with
end_with(os.getppid())
print(os.getpid(), flush=True)
signal.pause()
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's parent-death signal")
def test_the_worker_of_a_demo_that_is_killed_ends_with_it() -> None:
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        ended = os.pidfd_open(child)
        try:
            parent.kill()
            assert has_ended(ended)
        finally:
            if not has_ended(ended, 0):
                os.kill(child, signal.SIGKILL)
            os.close(ended)


def test_a_worker_whose_demo_ended_before_it_began_does_not_begin() -> None:
    gone = str(os.getppid())
    command = [sys.executable, "-m", "stream.demo.worker_child", gone, "version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the demo has ended" in done.stderr


def test_an_address_without_a_broker_is_the_options_and_nothing_else_is_advised() -> None:
    told = CliRunner().invoke(main, ["demo", "--kafka", "127.0.0.1:1"])
    assert told.exit_code == 2
    assert told.stderr.startswith("--kafka is '127.0.0.1:1': no broker there can be used")
    assert "--set" not in told.stderr
    assert "kafka." not in told.stderr.partition("(")[0]


def test_the_last_line_says_how_to_go_on() -> None:
    for given, said in ((None, "tailstream demo --kafka host:9092"), ("make demo", "make demo")):
        assert end_of(None, given).endswith(f"   Next:  {said}")


def test_an_option_before_a_command_of_the_group_is_refused_not_ignored() -> None:
    told = CliRunner().invoke(main, ["demo", "--kafka", "127.0.0.1:1", "shop"])
    assert told.exit_code == 2
    assert "--kafka stands before shop: write it after" in told.stderr


def test_the_shop_names_its_mistakes() -> None:
    for options, said in (
        (["--keep"], "--keep needs a real cluster"),
        (["--kafka", "127.0.0.1:1"], "--kafka is '127.0.0.1:1': no broker there can be used"),
        (["--broken", "ledger"], "'ledger' is not one of 'payment', 'psp'"),
        (["--head-rate", "0"], "0.0 is not in the range"),
    ):
        told = CliRunner().invoke(main, ["demo", "shop", *options])
        assert told.exit_code == 2
        assert said in told.stderr


def test_a_gateway_without_a_port_or_a_cluster_says_which() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = CliRunner().invoke(main, ["demo", "gateway", "--port", port])
    assert told.exit_code == 1
    assert f"--port is {port}: " in told.stderr
    told = CliRunner().invoke(main, ["demo", "gateway", "--through-kafka", "127.0.0.1:1"])
    assert told.exit_code == 2
    assert "--through-kafka is '127.0.0.1:1': no broker there can be used" in told.stderr


def test_the_gateway_alone_listens_until_it_is_told_to_end() -> None:
    command = [sys.executable, "-m", "stream.cli", "demo", "gateway", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as gateway:
        try:
            assert gateway.stdout is not None
            url = gateway.stdout.readline().removeprefix("listening on ").strip()
            with urllib.request.urlopen(url, b"[]", timeout=TIMEOUT_S) as answer:
                assert (answer.status, answer.read()) == (200, b"[]")
            gateway.send_signal(signal.SIGTERM)
            assert gateway.wait(TIMEOUT_S) == 0
        finally:
            gateway.kill()
