"""``python -m example_app.demo``: Fieldnotes and a Descope emulator on this machine, nothing configured.

With ``--check`` nobody has to look: a browser of sorts walks the whole journey and says what it saw.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import httpx
from fastapi import FastAPI

from fastapi_descope import DescopeSettings
from fastapi_descope.emulator import Clock, Emulator, Project, SeedUser
from fastapi_descope.emulator.server import running

from .app import create_app
from .browser import Browser
from .journey import Journey
from .loopback import listen, serve, serving
from .samples import NAMES

__all__ = ["main"]

_APP_PORT = 8000
_EMULATOR_PORT = 8787
_SESSION_SECONDS = 600

# The app is at 127.0.0.1 and the emulator at localhost: two sites, as in real life. Cookies do not tell
# ports apart, so on one host the emulator would be sent the app's session.
_EMULATOR_HOST = "localhost"

_say = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo until Ctrl-C, or the check until its end; the answer is the exit code."""
    options = _options(arguments)
    seconds = _SESSION_SECONDS if options.check else options.session_seconds
    project = Project(session_seconds=seconds, rotate_refresh=True)
    emulator = Emulator(project, clock=Clock(), console="faults")
    if options.check:
        return _check(emulator)
    return _show(emulator, options.port, options.emulator_port)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="Fieldnotes against a Descope emulator."
    )
    parser.add_argument("--check", action="store_true", help="walk the journey, print each step, exit 0 or 1")
    parser.add_argument("--port", type=int, help=f"of the app (default: {_APP_PORT}, or a free one)")
    parser.add_argument("--emulator-port", type=int, help=f"default: {_EMULATOR_PORT}, or a free one")
    parser.add_argument(
        "--session-seconds",
        type=int,
        default=_SESSION_SECONDS,
        help="how long a session lives before it renews itself (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def _show(emulator: Emulator, port: int | None, emulator_port: int | None) -> int:
    with running(emulator, host=_EMULATOR_HOST, port=_port(emulator_port, _EMULATOR_PORT)) as descope_url:
        listener, app_url = listen(_port(port, _APP_PORT))
        with listener:
            _say(_welcome(emulator, app_url, descope_url))
            with suppress(KeyboardInterrupt):
                serve(_app(emulator, app_url), listener)
    return 0


def _check(emulator: Emulator) -> int:
    """On free ports, so that a demo may run beside it."""
    with running(emulator, host=_EMULATOR_HOST):
        listener, app_url = listen(0)
        with listener, serving(_app(emulator, app_url), listener):
            return asyncio.run(_walk(emulator, app_url))


async def _walk(emulator: Emulator, app_url: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        went_well = await Journey(Browser(client, app_url), emulator, _say).run()
    _say("All as it should be." if went_well else "Something is wrong.")
    return 0 if went_well else 1


def _app(emulator: Emulator, app_url: str) -> FastAPI:
    """Fieldnotes as a customer would configure it: two settings, and the clock that the check moves."""
    settings = DescopeSettings(project_id=emulator.project_id, base_url=emulator.base_url, public_url=app_url)
    people = [user.login_id for user in emulator.project.users if user.tenants]
    return create_app(settings=settings, clock=emulator.clock, try_it=people)


def _port(asked: int | None, default: int) -> int:
    """The port that was asked for, else the default one, else, if that is taken, any free one (0)."""
    if asked is not None:
        return asked
    try:
        listener, _ = listen(default)
    except OSError:
        return 0
    listener.close()
    return default


def _welcome(emulator: Emulator, app_url: str, descope_url: str) -> str:
    people = "\n".join(_introduction(user) for user in emulator.project.users if user.tenants)
    return f"""
  Fieldnotes       {app_url}
  Descope emulator {descope_url}
  Its console      {descope_url}/console

  Open the first address and sign in with one of these; nobody asks for a password:

{people}

  The console shows what the app asks of Descope, and breaks it if you like.

  Ctrl-C ends both.
"""


def _introduction(user: SeedUser) -> str:
    places = [
        f"{' and '.join(grants.roles)} at {NAMES.get(tenant_id, tenant_id)}"
        for tenant_id, grants in user.tenants.items()
    ]
    return f"    {user.login_id:<20} {', '.join(places)}"


if __name__ == "__main__":
    sys.exit(main())
