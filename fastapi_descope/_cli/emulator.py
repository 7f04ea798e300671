"""The ``emulator`` command: its project, the messages in the terminal, and a log line for each request."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import typer
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from .._config.setting_types import PROJECT_ID
from ..emulator import Emulator, Project, SeedUser
from ..emulator.security import production_variable
from ..emulator.seed import SeedError, load
from ..emulator.server import PortUnavailable, serve
from ..errors import ConfigurationError

__all__ = ["EmulatorRunner", "load_project", "print_line", "refuse_production"]

_SIGN_IN = "/signin/"
_CONSOLE = "/console"


class EmulatorRunner:
    """Runs an emulator and writes its messages with ``write_line``.

    No line contains a token, a code or a query string: a request is logged as status, method and path.
    """

    def __init__(
        self,
        project: Project,
        write_line: Callable[[str], None],
        *,
        console: Literal["view", "faults"] = "view",
    ) -> None:
        self._emulator = _LoggingEmulator(project, write_line, console)
        self._injects_faults = console == "faults"
        self._write_line = write_line

    def run(self, *, host: str, port: int) -> None:
        """Serve until interrupted.

        Raises:
            ConfigurationError: The host is not a loopback host, or the port is not available.
        """
        try:
            with suppress(KeyboardInterrupt):
                serve(self._emulator, host=host, port=port, ready=self._print_banner)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        except PortUnavailable as error:
            reason = os.strerror(error.errno or 0)
            raise ConfigurationError(f"Port {port}: {reason}; choose another with --port") from None
        self._write_line("Stopped.")

    def _print_banner(self, base_url: str) -> None:
        project = self._emulator.project
        hint = "" if self._injects_faults else "  (add --faults to inject faults)"
        self._write_line("Descope emulator for development: signs in any user without a password.")
        self._write_line("Press Ctrl+C to stop it.\n")
        self._write_line(f"  URL      {base_url}")
        self._write_line(f"  Project  {project.project_id}")
        self._write_line(f"  Console  {base_url}/console{hint}\n")
        self._write_line(f"  export DESCOPE_PROJECT_ID={project.project_id}")
        self._write_line(f"  export DESCOPE_BASE_URL={base_url}\n")
        width = max((len(user.login_id) for user in project.users), default=0)
        for user in project.users:
            self._write_line(f"  {user.login_id:<{width}}  {_memberships(user)}")
        self._write_line("")


def _memberships(user: SeedUser) -> str:
    each = (f"{tenant}: {', '.join(grants.roles) or 'no roles'}" for tenant, grants in user.tenants.items())
    return "; ".join(each) or "no tenant"


class _LoggingEmulator(Emulator):
    """An emulator that logs each request, except reads of the console, which polls."""

    def __init__(
        self, project: Project, write_line: Callable[[str], None], console: Literal["view", "faults"]
    ) -> None:
        super().__init__(project, console=console)
        self._write_line = write_line

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_log(message: Message) -> None:
            path = scope["path"]
            is_console_read = path.startswith(_CONSOLE) and scope["method"] == "GET"
            if message["type"] == "http.response.start" and not is_console_read:
                # The id in the path of a sign-in page is a capability, so it is not logged.
                logged_path = f"{_SIGN_IN}..." if path.startswith(_SIGN_IN) else path
                self._write_line(f"{message['status']}  {scope['method']:<4}  {quote(logged_path)}")
            await send(message)

        await super().__call__(scope, receive, send_and_log)


def refuse_production(environment: Mapping[str, str]) -> None:
    """Refuse to run in production.

    Raises:
        ConfigurationError: A variable such as ``ENVIRONMENT`` names a production environment.
    """
    name = production_variable(environment)
    if name is not None:
        raise ConfigurationError(
            f"{name} names a production environment, and the emulator signs in any user without a password"
        )


def load_project(
    seed: Path | None, *, project_id: str | None, session_seconds: int | None, rotate: bool | None
) -> Project:
    """Return the project of the seed file, or the default one, with the given options replaced.

    Raises:
        ConfigurationError: The seed file is wrong, or the project id is malformed.
        ValueError: ``session_seconds`` is out of range.
    """
    if project_id is not None and PROJECT_ID.fullmatch(project_id) is None:
        raise ConfigurationError("--project: expected P, then 20 to 64 letters and digits")
    try:
        project = load(seed) if seed else Project()
    except SeedError as error:
        raise ConfigurationError(str(error)) from None
    return replace(
        project,
        project_id=project_id or project.project_id,
        session_seconds=session_seconds or project.session_seconds,
        rotate_refresh=project.rotate_refresh if rotate is None else rotate,
    )


def print_line(line: str) -> None:
    """Print a line to standard output. Keeps the emulator running if the reader of a pipe has closed it."""
    try:
        typer.echo(line)
    except BrokenPipeError:
        with Path(os.devnull).open("w", encoding="utf-8") as devnull:
            # Python flushes standard output when it exits, which would fail again.
            os.dup2(devnull.fileno(), sys.stdout.fileno())
