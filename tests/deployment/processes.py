"""Starts the servers of the matrix."""

import os
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["running_server"]

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 180
"""A server starts within two seconds. A machine that runs other things as well takes longer."""
_STOP_SECONDS = 60


@contextmanager
def running_server(
    command: Sequence[str], port: int, variables: Mapping[str, str], log: Path
) -> Generator[subprocess.Popen[bytes]]:
    """Run a server until the block ends. Its output is in ``log``."""
    environment = {"PATH": os.environ["PATH"], **variables}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=output, stderr=output)
    try:
        _wait_until_listening(process, port, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        else:
            return
