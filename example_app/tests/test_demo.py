"""The demo as it is started: with real sockets."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from example_app.demo import main
from fastapi_descope import ConfigurationError

ROOT = Path(__file__).parents[2]


def test_the_check_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """Over HTTP, with the app and the emulator on free ports; the exit code is 0."""
    assert main(["--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "All as it should be."


def test_the_demo_says_where_it_is_and_ends_when_asked() -> None:
    """It prints all addresses and the accounts, serves the home page, and Ctrl-C ends it with 0.

    The usual port of the app is taken, so it finds another one.
    """
    taken = _take(8000)
    command = [sys.executable, "-m", "example_app.demo", "--emulator-port", "0"]
    with (
        taken,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo,  # noqa: S603 - our own
    ):
        try:
            said = _until_ready(demo)
            address = re.search(r"Fieldnotes +(http://127\.0\.0\.1:\d+)", said)
            assert address is not None
            assert not address[1].endswith(":8000")
            console = re.search(r"Its console +(http://localhost:\d+/console)", said)
            assert console is not None
            assert httpx.get(console[1], trust_env=False).status_code == 200
            assert "ada@acme.example     admin at Acme Corp, viewer at Globex" in said
            assert "Continue with single sign-on" in httpx.get(address[1], trust_env=False).text
        finally:
            demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 0


def test_a_port_asked_for_is_not_replaced() -> None:
    """Who names a port gets that one or an error."""
    with _take(0) as taken, pytest.raises(OSError, match="in use"):
        main(["--emulator-port", "0", "--port", str(taken.getsockname()[1])])


def test_the_app_is_made_when_a_server_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing needs no settings; ``example_app.app:app`` does, and says which one is missing."""
    from example_app import app as module  # noqa: PLC0415 - that importing works is part of the promise

    with pytest.raises(ConfigurationError, match="DESCOPE_PROJECT_ID is missing"):
        _ = module.app
    monkeypatch.setenv("DESCOPE_PROJECT_ID", "P2abcdefghijklmnopqrstuvwxyz")
    assert module.app.title == "Fieldnotes"
    with pytest.raises(AttributeError):
        _ = module.nothing_of_the_kind


def _take(port: int) -> socket.socket:
    """A listener on the port, or, if somebody else has it already, on another one."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def _until_ready(demo: subprocess.Popen[str]) -> str:
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if "Ctrl-C" in line:
            break
    return said
