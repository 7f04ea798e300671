"""``python -m example_app.demo``: run Fieldnotes against a Descope emulator, without configuration.

With ``--check`` it runs the journey of one user with a scripted browser, and prints the result of each step.
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
from .loopback import listen, serve, serve_in_thread
from .samples import NAMES

__all__ = ["WAYS_IN", "main"]

WAYS_IN = ("sso", "google", "github", "magiclink")

_APP_PORT = 8000
_EMULATOR_PORT = 8787
_SESSION_SECONDS = 600

# The app is at 127.0.0.1 and the emulator at localhost, so they are two sites, as in production. Cookies
# ignore ports: on one host, the browser would send the app's session cookies to the emulator.
_EMULATOR_HOST = "localhost"

_print = partial(print, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo until Ctrl-C, or the check, and return the exit status."""
    options = _options(arguments)
    seconds = _SESSION_SECONDS if options.check else options.session_seconds
    project = Project(
        session_seconds=seconds,
        rotate_refresh=True,
        management_key="demo-management-key",
        open_sign_up=True,  # so that a link to any e-mail address can be tried
    )
    emulator = Emulator(project, clock=Clock(), console="faults")
    if options.check:
        return _run_check(emulator)
    return _run_demo(emulator, options.port, options.emulator_port)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="Fieldnotes against a Descope emulator."
    )
    parser.add_argument(
        "--check", action="store_true", help="run the journey, print each step, exit with 0 or 1"
    )
    parser.add_argument("--port", type=int, help=f"port of the app (default: {_APP_PORT}, or a free one)")
    parser.add_argument(
        "--emulator-port", type=int, help=f"port of the emulator (default: {_EMULATOR_PORT}, or a free one)"
    )
    parser.add_argument(
        "--session-seconds",
        type=int,
        default=_SESSION_SECONDS,
        help="lifetime of a session token (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def _run_demo(emulator: Emulator, port: int | None, emulator_port: int | None) -> int:
    with running(
        emulator, host=_EMULATOR_HOST, port=_available_port(emulator_port, _EMULATOR_PORT)
    ) as descope_url:
        listener, app_url = listen(_available_port(port, _APP_PORT))
        with listener:
            _print(_welcome(emulator, app_url, descope_url))
            with suppress(KeyboardInterrupt):
                serve(_configured_app(emulator, app_url), listener)
    return 0


def _run_check(emulator: Emulator) -> int:
    """Run the journey on free ports, so that a demo may run at the same time."""
    with running(emulator, host=_EMULATOR_HOST):
        listener, app_url = listen(0)
        with listener, serve_in_thread(_configured_app(emulator, app_url), listener):
            return asyncio.run(_run_journey(emulator, app_url))


async def _run_journey(emulator: Emulator, app_url: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        succeeded = await Journey(Browser(client, app_url), emulator, _print).run()
    _print("All steps passed." if succeeded else "The check failed.")
    return 0 if succeeded else 1


def _configured_app(emulator: Emulator, app_url: str) -> FastAPI:
    """Return the app with the settings of a customer, and with the clock that the check advances."""
    settings = DescopeSettings(
        project_id=emulator.project_id,
        base_url=emulator.base_url,
        public_url=app_url,
        login_methods=WAYS_IN,
        sign_up=True,
    )
    login_ids = [user.login_id for user in emulator.project.users if user.tenants]
    return create_app(
        settings=settings,
        clock=emulator.clock,
        try_it=login_ids,
        management_key=emulator.project.management_key,
    )


def _available_port(requested: int | None, default: int) -> int:
    """Return the requested port, or the default one, or 0 for a free one if the default is in use."""
    if requested is not None:
        return requested
    try:
        listener, _ = listen(default)
    except OSError:
        return 0
    listener.close()
    return default


def _welcome(emulator: Emulator, app_url: str, descope_url: str) -> str:
    users = "\n".join(_user_line(user) for user in emulator.project.users if user.tenants)
    return f"""
  Fieldnotes       {app_url}
  Descope emulator {descope_url}
  Console          {descope_url}/console

  Open the app and sign in as one of these users. No password is needed:

{users}

  Work e-mail, Google, GitHub and a link by e-mail lead in. The links are in the outbox of the console:

    {descope_url}/console#outbox

  The console also shows the app's calls to Descope, and can inject faults.

  Press Ctrl-C to stop both.
"""


def _user_line(user: SeedUser) -> str:
    memberships = [
        f"{' and '.join(grants.roles)} at {NAMES.get(tenant_id, tenant_id)}"
        for tenant_id, grants in user.tenants.items()
    ]
    return f"    {user.login_id:<20} {', '.join(memberships)}"


if __name__ == "__main__":
    sys.exit(main())
