"""The README keeps its word: its snippets run as they stand."""

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

pytestmark = pytest.mark.anyio

README = Path(__file__).parents[2] / "README.md"


def _snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@contextmanager
def _uvicorn(folder: Path, environment: dict[str, str]) -> Generator[str]:
    """``uvicorn main:app`` in a process of its own; ready when its port takes connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=folder, env=os.environ | environment)  # noqa: S603 - our own interpreter
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < deadline, "uvicorn did not start"
        else:
            return


async def test_the_quick_start_signs_in_and_answers_me(tmp_path: Path) -> None:
    """Pasted into an empty folder, with the emulator running and two variables set."""
    (tmp_path / "main.py").write_text(_snippets()[0], encoding="utf-8")
    emulator = Emulator()
    with running(emulator) as base_url:
        environment = {"DESCOPE_PROJECT_ID": emulator.project_id, "DESCOPE_BASE_URL": base_url}
        with _uvicorn(tmp_path, environment) as app:
            async with httpx.AsyncClient(trust_env=False) as client:
                browser = Browser(client)
                sent = await browser.visit(app + "/me")
                login = await browser.visit(app + sent.headers["location"] + "&tenant=acme")
                page = await browser.visit(login.headers["location"])
                callback = (await browser.choose(page, "ada@acme.example")).headers["location"]
                back = await browser.visit(callback)
                me = await browser.get(app + back.headers["location"])

    assert me.json() == {"user": "U22a1322415fff1b1aceaebe7855", "tenant": "acme", "roles": ["admin"]}


def test_every_snippet_runs(tmp_path: Path) -> None:
    """In their order, in one module: each may use what those before it have defined."""
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


def test_the_settings_table_names_every_setting() -> None:
    """No variable is undocumented, none is invented."""
    from fastapi_descope import DescopeSettings  # noqa: PLC0415 - for this test alone

    table = README.read_text(encoding="utf-8").split("## Settings")[1].split("## With a real project")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`([A-Z_]+)`", " ".join(rows)))

    assert named == {name.upper() for name in DescopeSettings.model_fields} | {"BASE_URI"}
