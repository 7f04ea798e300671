"""The emulator in a terminal: how to use it when it starts, and a line for each request."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Literal
from urllib.parse import quote

from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from ..emulator import Emulator, Project, SeedUser
from ..emulator.server import PortUnavailable, serve
from ..errors import ConfigurationError

__all__ = ["EmulatorRunner"]

_SIGN_IN = "/signin/"
_CONSOLE = "/console"


class EmulatorRunner:
    """Runs an emulator and tells about it through ``say``, line by line.

    No line holds a token, a code or a query: a request is its method, its path and the answer's status.
    """

    def __init__(
        self, project: Project, say: Callable[[str], None], *, console: Literal["view", "faults"] = "view"
    ) -> None:
        self._emulator = _Narrated(project, say, console)
        self._breaks = console == "faults"
        self._say = say

    def run(self, *, host: str, port: int) -> None:
        """Serve until interrupted, then return.

        Raises ``ConfigurationError`` for a host that is not the loopback, or a port that cannot be had.
        """
        try:
            with suppress(KeyboardInterrupt):
                serve(self._emulator, host=host, port=port, ready=self._greet)
        except ValueError as refused:
            raise ConfigurationError(str(refused)) from None
        except PortUnavailable as failure:
            reason = os.strerror(failure.errno or 0)
            raise ConfigurationError(f"Port {port}: {reason}; choose another with --port") from None
        self._say("Stopped.")

    def _greet(self, base_url: str) -> None:
        project = self._emulator.project
        self._say("A Descope for development. It signs in anybody; Ctrl+C stops it.\n")
        self._say(f"  URL      {base_url}")
        self._say(f"  Project  {project.project_id}")
        self._say(f"  Console  {base_url}/console{'' if self._breaks else '  (to break things: --faults)'}\n")
        self._say(f"  export DESCOPE_PROJECT_ID={project.project_id}")
        self._say(f"  export DESCOPE_BASE_URL={base_url}\n")
        width = max((len(user.login_id) for user in project.users), default=0)
        for user in project.users:
            self._say(f"  {user.login_id:<{width}}  {_memberships(user)}")
        self._say("")


def _memberships(user: SeedUser) -> str:
    each = (f"{tenant}: {', '.join(held.roles) or 'no roles'}" for tenant, held in user.tenants.items())
    return "; ".join(each) or "no tenant"


class _Narrated(Emulator):
    """An emulator that says what it answered."""

    def __init__(
        self, project: Project, say: Callable[[str], None], console: Literal["view", "faults"]
    ) -> None:
        super().__init__(project, console=console)
        self._say = say

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def saying(message: Message) -> None:
            path = scope["path"]
            # The console's page asks again and again, and only what it changes is worth a line.
            seen = path.startswith(_CONSOLE) and scope["method"] == "GET"
            if message["type"] == "http.response.start" and not seen:
                # The id of a sign-in page opens it to whoever knows it.
                shown = f"{_SIGN_IN}..." if path.startswith(_SIGN_IN) else path
                self._say(f"{message['status']}  {scope['method']:<4}  {quote(shown)}")
            await send(message)

        await super().__call__(scope, receive, saying)
