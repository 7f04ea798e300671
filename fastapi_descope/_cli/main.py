"""The commands of ``fastapi-descope``: emulator, doctor, routes and token. Needs the extra ``cli``.

Results go to standard output as plain text, everything else to standard error. A mistake is reported in one
line with exit status 1 or 2, never as a traceback: it could contain secrets.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

from ..errors import DescopeError

try:
    import typer

    from ..emulator import DEFAULT_PROJECT_ID
    from .app_checks import load_app
    from .doctor import Doctor, load_app_to_check
    from .emulator import EmulatorRunner, load_project, print_line, refuse_production
    from .routes import print_routes
except ModuleNotFoundError as missing:
    sys.exit(f"fastapi-descope needs {missing.name}: pip install 'fastapi-descope[cli]'")

from .checks import Severity, summary
from .token import UNUSED_REDIRECT_URL, issue_token

__all__ = ["app", "main"]

_NAME = "fastapi-descope"
_EMULATOR_PORT = 8787
_MAX_TOKEN_BYTES = 65_536

# Rich tracebacks show local variables, which contain tokens.
app = typer.Typer(
    help="Tools for FastAPI apps that sign users in through Descope.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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


@app.command()
def emulator(
    host: Annotated[str, typer.Option(help="127.0.0.1, localhost or ::1.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")] = _EMULATOR_PORT,
    seed: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Seed file with the project, TOML or JSON.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="The project id.")] = None,
    session_seconds: Annotated[int | None, typer.Option(min=1, help="Lifetime of session tokens.")] = None,
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
    refuse_production(os.environ)
    try:
        seeded = load_project(seed, project_id=project, session_seconds=session_seconds, rotate=rotate)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--session-seconds") from None
    EmulatorRunner(seeded, print_line, console="faults" if faults else "view").run(host=host, port=port)


@app.command()
def doctor(
    app_name: Annotated[
        str, typer.Option("--app", metavar="MODULE:ATTRIBUTE", help="Also check this app.")
    ] = "",
    refresh_token_file: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(
            metavar="FILE",
            help="Also refresh the session of this refresh token once, and compare the project's cookie"
            " settings; - for standard input. The token may be used up, which ends its session.",
        ),
    ] = None,
) -> None:
    """Check the configuration.

    Checks the settings, the connections to Descope and Redis, and the cookies. With --app, also how the
    plugin is installed in the app.
    """
    checked_app = load_app_to_check(app_name) if app_name else None
    refresh_token = _read_token(refresh_token_file) if refresh_token_file else None
    checked = Doctor(checked_app, variables=os.environ, refresh_token=refresh_token)
    results = asyncio.run(checked.run_checks())
    for result in results:
        typer.echo(str(result))
    typer.echo(f"\n{summary(results)}")
    raise typer.Exit(int(any(result.severity is Severity.FAIL for result in results)))


def _read_token(file: typer.FileBinaryRead) -> str:
    """Return the token in a file, or text that is no token."""
    return file.read(_MAX_TOKEN_BYTES).decode("ascii", "replace").strip()


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
    loaded = load_app(app_name)
    if not print_routes(loaded, check=check, public=public or (), public_docs=public_docs):
        raise typer.Exit(1)


@app.command()
def token(
    user: Annotated[str, typer.Option(help="The login id of a user of the emulator.")],
    tenant: Annotated[
        str | None,
        typer.Option(help="The tenant id. Default: the tenant of the user's e-mail domain, or none."),
    ] = None,
    project: Annotated[
        str, typer.Option(envvar="DESCOPE_PROJECT_ID", help="The project id.")
    ] = DEFAULT_PROJECT_ID,
    base_url: Annotated[
        str,
        typer.Option(envvar=["DESCOPE_BASE_URL", "DESCOPE_BASE_URI"], help="The URL of the emulator."),
    ] = f"http://127.0.0.1:{_EMULATOR_PORT}",
    auth_management_key: Annotated[
        str | None,
        typer.Option(envvar="DESCOPE_AUTH_MANAGEMENT_KEY", help="Needed if the project requires it."),
    ] = None,
    redirect_url: Annotated[
        str,
        typer.Option(envvar="DESCOPE_PUBLIC_URL", help="A redirect URL that the project approves."),
    ] = UNUSED_REDIRECT_URL,
) -> None:
    """Print a session token from a running emulator.

    Signs in as a browser does. For use with curl: -H "Authorization: Bearer $(...)".
    """
    session_token = issue_token(
        base_url,
        project_id=project,
        user=user,
        tenant=tenant,
        auth_management_key=auth_management_key,
        redirect_url=redirect_url,
    )
    typer.echo(session_token)
