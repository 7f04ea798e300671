"""Walks a page of the documentation in a folder: writes its files, runs its commands, signs in."""

import asyncio
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import httpx
from packaging.requirements import Requirement

from tests.helpers.app_harness import Browser
from tests.helpers.docs_page import Command, File, Press, SignIn, Step

from .ports import free_port

__all__ = ["Walk", "contains"]

_SECONDS = 180.0
_PORTS = (8000, 8787)
_SERVERS = {
    "fastapi-descope emulator": (8787, "--port {}"),
    "uvicorn": (8000, "--port {}"),
    "fastapi dev": (8000, "--port {}"),
    "fastapi run": (8000, "--port {}"),
    "granian": (8000, "--port {}"),
    "hypercorn": (8000, "--bind 127.0.0.1:{}"),
    "gunicorn": (8000, "--bind 127.0.0.1:{}"),
}


class Walk:
    """A reader who follows a page. End it with ``close``, which stops the servers.

    Args:
        folder: Where the reader works.
        environment: The variables at the start.
        installs: Whether ``pip install`` is executed. Otherwise its packages and extras have to exist.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *, installs: bool) -> None:
        self._folder = folder
        self._directory = folder
        self._environment = dict(environment)
        self._installs = installs
        self._ports = {port: free_port() for port in _PORTS}
        self._servers: dict[int, subprocess.Popen[bytes]] = {}
        self._cookies = httpx.Cookies()

    def close(self) -> None:
        """Stop all servers."""
        for port in list(self._servers):
            self._stop(port)

    def take(self, step: Step) -> None:
        """Take one step of a page, and fail if it does not do what the page says."""
        match step:
            case File():
                self._write(step)
            case SignIn() | Press():
                shown = asyncio.run(self._browse(step))
                assert contains(shown, step.output), f"{step.url} showed:\n{shown}"
            case Command(line=line) if line.startswith("pip install") and not self._installs:
                for requirement in shlex.split(line)[2:]:
                    _check_requirement(requirement)
            case Command():
                self._run(step)

    def _write(self, file: File) -> None:
        path = self._directory / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if file.is_continued else "w", encoding="utf-8") as target:
            target.write(file.text)

    def _run(self, command: Command) -> None:
        line = self._with_free_ports(command.line)
        for name, (port, option) in _SERVERS.items():
            if command.line.startswith(name):
                has_port = re.search(r"\b(?:8000|8787)\b", command.line)
                self._serve(line if has_port else f"{line} {option.format(self._ports[port])}", port, command)
                return
        script = f"trap 'env -0 >{self._state('env')}; pwd >{self._state('cwd')}' EXIT\n{line}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=3 * _SECONDS,
            check=False,
        )
        variables = self._state("env").read_text(encoding="utf-8").split("\0")
        self._environment = dict(each.split("=", 1) for each in variables if each)
        self._directory = Path(self._state("cwd").read_text(encoding="utf-8").strip())
        output = self._with_shown_ports(done.stdout)
        assert done.returncode == command.status, f"$ {command.line}\n{output}"
        assert contains(output, command.output), f"$ {command.line}\n{output}"

    def _serve(self, line: str, port: int, command: Command) -> None:
        self._stop(port)
        log = self._state(f"log-{port}")
        with log.open("wb") as output:
            self._servers[port] = process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # uvicorn --reload and servers with workers start processes
            )
        deadline = time.monotonic() + _SECONDS
        while not (_accepts(self._ports[port]) and contains(self._log(log), command.output)):
            assert process.poll() is None, f"$ {command.line}\n{self._log(log)}"
            assert time.monotonic() < deadline, f"$ {command.line}\n{self._log(log)}"
            time.sleep(0.05)

    def _stop(self, port: int) -> None:
        if process := self._servers.pop(port, None):
            os.killpg(process.pid, signal.SIGKILL)  # a graceful stop waits for the faults of an emulator
            process.wait(_SECONDS)

    def _state(self, name: str) -> Path:
        return self._folder.with_name(f"{self._folder.name}.{name}")

    def _log(self, log: Path) -> str:
        return self._with_shown_ports(log.read_text(encoding="utf-8"))

    def _with_free_ports(self, text: str) -> str:
        return re.sub(r"\b(?:8000|8787)\b", lambda port: str(self._ports[int(port[0])]), text)

    def _with_shown_ports(self, text: str) -> str:
        for shown, port in self._ports.items():
            text = re.sub(rf"\b{port}\b", str(shown), text)
        return text

    async def _browse(self, step: SignIn | Press) -> str:
        """Open the page as a browser does, sign in or press a button, and return the last page."""
        url = httpx.URL(self._with_free_ports(step.url))
        async with httpx.AsyncClient(trust_env=False, cookies=self._cookies) as client:
            browser = Browser(client, origin=f"{url.scheme}://{url.netloc.decode()}")
            page = await browser.visit(str(url))
            match step:
                case SignIn():
                    page = await _sign_in(browser, page, step)
                case Press():
                    page = await _press(browser, page, step.button)
            while "location" in page.headers:
                page = await browser.visit(str(page.url.join(page.headers["location"])))
            self._cookies = client.cookies
        return self._with_shown_ports(page.text)


async def _sign_in(browser: Browser, page: httpx.Response, step: SignIn) -> httpx.Response:
    """Sign in if the page leads to the login, and return the next response."""
    login = page.headers.get("location", "")
    if not login.partition("?")[0].endswith("/login/sso"):
        return page
    tenant = "" if "tenant=" in login else f"{'&' if '?' in login else '?'}tenant={step.tenant}"
    started = await browser.visit(str(page.url.join(login + tenant)))
    return await browser.choose(await browser.visit(started.headers["location"]), step.user)


async def _press(browser: Browser, page: httpx.Response, text: str) -> httpx.Response:
    """Submit the form with the button, and return the response."""
    button = rf'<button(?: name="(\w+)" value="([^"]*)")?>{re.escape(text)}</button>'
    form = re.search(
        rf'<form method="post" action="([^"]+)">(?:(?!</form>).)*?{button}', page.text, re.DOTALL
    )
    assert form, f"no button {text}:\n{page.text}"
    data = {form[2]: form[3]} if form[2] else {}
    navigation = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    return await browser.post(str(page.url.join(form[1])), data, **navigation)


def contains(output: str, lines: str) -> bool:
    """Return whether the lines occur in the output in this order. ``...`` matches any text."""
    position = 0
    for line in filter(None, map(str.strip, lines.splitlines())):
        parts = [r"\s*".join(map(re.escape, part.split())) for part in line.split("...")]
        found = re.compile(r"\s*[^\n]*?\s*".join(parts)).search(output, position)
        if found is None:
            return False
        position = found.end()
    return True


def _check_requirement(text: str) -> None:
    """Fail if a package of ``pip install`` is not installed, or lacks an extra."""
    if text.startswith("-"):
        return
    requirement = Requirement(text)
    extras = metadata.metadata(requirement.name).get_all("Provides-Extra") or []
    assert requirement.extras <= set(extras), text


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
