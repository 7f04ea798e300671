"""The README's snippets run unchanged."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running
from tests.helpers.app_harness import Browser
from tests.helpers.ports import free_port

pytestmark = pytest.mark.anyio

README = Path(__file__).parents[2] / "README.md"


def _snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@contextmanager
def _uvicorn(folder: Path, environment: dict[str, str]) -> Generator[str]:
    """Run ``uvicorn main:app`` in a process and yield its URL when the port accepts connections."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=folder, env=os.environ | environment)
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 180  # imports are slow on a busy machine
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline, "uvicorn did not start"
        else:
            return


async def test_the_quick_start_logs_in(tmp_path: Path) -> None:
    """In an empty folder, with an emulator and two environment variables, ``/me`` returns the user."""
    (tmp_path / "main.py").write_text(_snippets()[0], encoding="utf-8")
    emulator = Emulator()
    with running(emulator) as base_url:
        environment = {"DESCOPE_PROJECT_ID": emulator.project_id, "DESCOPE_BASE_URL": base_url}
        with _uvicorn(tmp_path, environment) as app:
            async with httpx.AsyncClient(trust_env=False) as client:
                browser = Browser(client)
                redirect = await browser.visit(app + "/me")
                login = await browser.visit(app + redirect.headers["location"] + "&tenant=acme")
                page = await browser.visit(login.headers["location"])
                callback = (await browser.choose(page, "ada@acme.example")).headers["location"]
                callback_response = await browser.visit(callback)
                me = await browser.get(app + callback_response.headers["location"])

    assert me.json() == {"user": "U22a1322415fff1b1aceaebe7855", "tenant": "acme", "roles": ["admin"]}


def test_every_snippet_runs(tmp_path: Path) -> None:
    """In order and in one module, because later snippets use names of earlier ones."""
    (tmp_path / "main.py").write_text("\n".join(_snippets()), encoding="utf-8")
    environment = os.environ | {"DESCOPE_PROJECT_ID": "P" + "a" * 27}

    done = subprocess.run(
        [sys.executable, "-W", "error", "main.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
