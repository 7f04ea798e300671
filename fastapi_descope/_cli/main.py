"""The commands of ``fastapi-descope``. Needs the extra ``cli``.

Results go to standard output as plain text or JSON, everything else to standard error. A mistake is reported
in one line with exit status 1 or 2, never as a traceback: it could contain secrets.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

from ..errors import ConfigurationError, DescopeError

for _package in ("typer", "uvicorn", "jinja2", "dotenv"):
    if find_spec(_package) is None:
        sys.exit(f"fastapi-descope needs {_package}: pip install 'fastapi-descope[cli]'")

import typer  # noqa: E402 - an optional package

__all__ = ["app", "main"]

# Each command imports its own modules: help and completion would else wait for FastAPI and cryptography.
# ruff: noqa: PLC0415

_NAME = "fastapi-descope"
_EMULATOR_PORT = 8787
_MAX_BYTES = 65_537
"""Bytes of a token or key set that are read: one more than either may have."""

_STANDARD_INPUT = "-"

# Rich tracebacks show local variables, which contain tokens.
app = typer.Typer(
    help="Tools for FastAPI apps that sign users in through Descope.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
token = typer.Typer(help="Get a token from the emulator, or inspect one.", no_args_is_help=True)
app.add_typer(token, name="token")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; the console script ``fastapi-descope``.

    Exit status: 0 on success, 1 for an error or a failed check, 2 for wrong usage.

    Args:
        arguments: The command-line arguments; None for those of the process.
    """
    try:
        typer.main.get_command(app)(arguments, prog_name=_NAME)
    except DescopeError as error:
        typer.echo(f"Error: {error}", err=True)
    sys.exit(1)


@app.callback()
def options(
    env_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Read variables from this file first; those of the environment have precedence.",
        ),
    ] = None,
) -> None:
    """Tools for FastAPI apps that sign users in through Descope."""
    if env_file is not None:
        from dotenv import load_dotenv

        load_dotenv(env_file)


@app.command()
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="The folder of the project. Default: the current one.")
    ] = Path(),
) -> None:
    """Write a new project with a minimal app.

    The app comes with its settings, users for the emulator, and a test. No file is overwritten.
    """
    from .new_project import write_project

    typer.echo("\n".join(write_project(folder)), nl=False)


@app.command()
def emulator(
    host: Annotated[str, typer.Option(metavar="HOST", help="127.0.0.1, localhost or ::1.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="0 picks a free port.")
    ] = _EMULATOR_PORT,
    seed: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Seed file with the project, TOML or JSON.")
    ] = None,
    project: Annotated[str | None, typer.Option(metavar="ID", help="The project id.")] = None,
    session_seconds: Annotated[
        int | None, typer.Option(metavar="SECONDS", min=1, help="Lifetime of session tokens.")
    ] = None,
    rotate: Annotated[
        bool | None, typer.Option("--rotate/--no-rotate", help="Rotate refresh tokens with each refresh.")
    ] = None,
    faults: Annotated[  # noqa: FBT002 - a flag of a command
        bool, typer.Option("--faults", help="Let the console inject faults.")
    ] = False,
) -> None:
    """Run an emulator of Descope for development.

    The other options override the seed file.
    """
    from .emulator import EmulatorRunner, load_project, print_line, refuse_production

    refuse_production(os.environ)
    try:
        seeded = load_project(seed, project_id=project, session_seconds=session_seconds, rotate=rotate)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--session-seconds") from None
    EmulatorRunner(seeded, print_line, console="faults" if faults else "view").run(host=host, port=port)


@app.command()
def doctor(
    app_name: Annotated[
        str, typer.Argument(metavar="MODULE:ATTRIBUTE", help="The FastAPI app to check as well.")
    ] = "",
    refresh_token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Also refresh the session of this refresh token once, and compare the project's cookie"
            " settings; - for standard input. The token may be used up, which ends its session.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,  # noqa: FBT002 - a flag of a command
) -> None:
    """Check the configuration.

    Checks the settings, the connections to Descope and Redis, and the cookies. With an app, also how the
    plugin is installed in the app. Fails if a check fails; warnings do not count.
    """
    from .doctor import examine

    refresh_token = _read_token(refresh_token_file, "--refresh-token-file") if refresh_token_file else None
    report = asyncio.run(examine(app_name, variables=os.environ, refresh_token=refresh_token))
    typer.echo(report.as_json() if as_json else str(report))
    raise typer.Exit(int(not report.is_ok))


@app.command()
def routes(
    app_name: Annotated[str, typer.Argument(metavar="MODULE:ATTRIBUTE", help="The FastAPI app.")],
    check: Annotated[bool, typer.Option("--check", help="Fail if a route is public.")] = False,  # noqa: FBT002 - a flag of a command
    public: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH", help="A path that may be public; /* at its end includes all below. Repeatable."
        ),
    ] = None,
    public_docs: Annotated[  # noqa: FBT002 - a flag of a command
        bool, typer.Option("--public-docs", help="FastAPI's own /docs and /openapi.json may be public.")
    ] = False,
) -> None:
    """List the routes of an app and what each requires.

    Endpoints that are marked with @public pass the check.
    """
    from .loaded_app import load_app
    from .routes import print_routes

    loaded = load_app(app_name)
    if not print_routes(loaded, check=check, public=public or (), public_docs=public_docs):
        raise typer.Exit(1)


@token.command()
def issue(
    user: Annotated[str, typer.Option(metavar="LOGIN_ID", help="The login id of a user of the emulator.")],
    tenant: Annotated[
        str | None,
        typer.Option(
            metavar="TENANT", help="The tenant id. Default: the tenant of the user's e-mail domain, or none."
        ),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            metavar="ID", envvar="DESCOPE_PROJECT_ID", help="The project id. Default: the emulator's."
        ),
    ] = None,
    base_url: Annotated[
        str,
        typer.Option(
            metavar="URL", envvar=["DESCOPE_BASE_URL", "DESCOPE_BASE_URI"], help="The URL of the emulator."
        ),
    ] = f"http://127.0.0.1:{_EMULATOR_PORT}",
    auth_management_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", envvar="DESCOPE_AUTH_MANAGEMENT_KEY", help="Needed if the project requires it."
        ),
    ] = None,
    redirect_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", envvar="DESCOPE_PUBLIC_URL", help="A redirect URL that the project approves."
        ),
    ] = None,
) -> None:
    """Print a session token from a running emulator.

    Signs in as a browser does. For use with curl: -H "Authorization: Bearer $(...)".
    """
    from ..emulator import DEFAULT_PROJECT_ID
    from .token_issue import UNUSED_REDIRECT_URL, issue_token

    session_token = issue_token(
        base_url,
        project_id=project or DEFAULT_PROJECT_ID,
        user=user,
        tenant=tenant,
        auth_management_key=auth_management_key,
        redirect_url=redirect_url or UNUSED_REDIRECT_URL,
    )
    typer.echo(session_token)


@token.command(context_settings={"allow_extra_args": True})
def inspect(
    context: typer.Context,
    file: Annotated[
        str, typer.Option(metavar="FILE", help="Read the token from this file; - for standard input.")
    ] = _STANDARD_INPUT,
    jwks: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Use this key set of the project, without a call to Descope."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,  # noqa: FBT002 - a flag of a command
) -> None:
    """Say what a token is, and whether the app would accept it.

    Reads the token from standard input, never from an argument, and prints no part of it. The settings are
    the DESCOPE_* variables. Succeeds if the app accepts it as a session token; on_session hooks are not run.
    """
    from ..settings import DescopeSettings
    from .token_inspection import inspect_token

    if context.args:  # typer would print them (LG-09)
        raise typer.BadParameter("the token is read from standard input; arguments end up in shell histories")
    settings = DescopeSettings()
    if file == _STANDARD_INPUT and sys.stdin.isatty():
        typer.echo("Paste the token, then press Enter and Ctrl+D.", err=True)
    key_set = _read(str(jwks), "--jwks") if jwks is not None else None
    inspection = asyncio.run(inspect_token(_read_token(file, "--file"), settings, key_set=key_set))
    typer.echo(inspection.as_json() if as_json else str(inspection))
    raise typer.Exit(int(not inspection.session.accepted))


def _read_token(file: str, option: str) -> str:
    """Return the token in a file or an Authorization header, or text that is no token."""
    text = _read(file, option).decode("ascii", "replace").strip()
    return text.removeprefix("Bearer ").lstrip()


def _read(file: str, option: str) -> bytes:
    """Return the first bytes of a file. No error contains its name: it may be a token, by mistake.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    try:
        if file == _STANDARD_INPUT:
            return sys.stdin.buffer.read(_MAX_BYTES)
        with Path(file).open("rb") as opened:
            return opened.read(_MAX_BYTES)
    except OSError as error:
        raise ConfigurationError(f"The file of {option} cannot be read: {error.strerror}") from None
