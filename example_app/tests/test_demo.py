"""The demo command, on real sockets."""

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
    """Over HTTP, with the app and the emulator on free ports. The exit status is 0."""
    assert main(["--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 30
    assert lines[-1] == "All steps passed."


def test_the_demo_prints_its_urls_and_stops_on_ctrl_c() -> None:
    """It prints all URLs and the users, serves the home page, and exits with status 0.

    The default port of the app is in use, so it picks another one.
    """
    occupied = _occupy(8000)
    command = [sys.executable, "-m", "example_app.demo", "--emulator-port", "0"]
    with (
        occupied,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo,  # noqa: S603 - our own command
    ):
        try:
            output = _read_until_ready(demo)
            app_url = re.search(r"Fieldnotes +(http://127\.0\.0\.1:\d+)", output)
            assert app_url is not None
            assert not app_url[1].endswith(":8000")
            console = re.search(r"Console +(http://localhost:\d+/console)", output)
            assert console is not None
            assert httpx.get(console[1], trust_env=False).status_code == 200
            assert "ada@acme.example     admin at Acme Corp, viewer at Globex" in output
            assert f"{console[1]}#outbox" in output
            assert "Continue with Google" in httpx.get(app_url[1] + "/login", trust_env=False).text
        finally:
            demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0


def test_a_requested_port_is_not_replaced() -> None:
    """A requested port in use is an error."""
    with _occupy(0) as occupied, pytest.raises(OSError, match="in use"):
        main(["--emulator-port", "0", "--port", str(occupied.getsockname()[1])])


def test_the_app_is_created_on_first_access(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the module needs no settings. Accessing ``app`` does, and names a missing one."""
    from example_app import app as module  # noqa: PLC0415 - the import itself is under test

    with pytest.raises(ConfigurationError, match="DESCOPE_PROJECT_ID is missing"):
        _ = module.app
    monkeypatch.setenv("DESCOPE_PROJECT_ID", "P2abcdefghijklmnopqrstuvwxyz")
    assert module.app.title == "Fieldnotes"
    with pytest.raises(AttributeError):
        _ = module.no_such_attribute


def _occupy(port: int) -> socket.socket:
    """Listen on the port, or on another one if it is in use."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def _read_until_ready(demo: subprocess.Popen[str]) -> str:
    assert demo.stdout is not None
    output = ""
    for line in demo.stdout:
        output += line
        if "Ctrl-C" in line:
            break
    return output
