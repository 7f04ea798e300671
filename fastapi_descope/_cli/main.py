"""``fastapi-descope emulator | doctor | routes | token``. Needs the extra ``cli``.

Plain text, results on standard output and everything else on standard error. A mistake of whoever typed
the command is one sentence and exit status 1 or 2; it never shows a traceback, which could hold secrets.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

from starlette.applications import Starlette

from ..errors import ConfigurationError, DescopeError

try:
    import typer
    from uvicorn.importer import ImportFromStringError, import_from_string

    from ..emulator import DEFAULT_PROJECT_ID, Project
    from ..emulator.security import production_variable
    from ..emulator.seed import SeedError, load
    from .doctor import Doctor
    from .emulator import EmulatorRunner
except ModuleNotFoundError as missing:
    sys.exit(f"fastapi-descope needs {missing.name}: pip install 'fastapi-descope[cli]'")

from .._config.setting_types import PROJECT_ID
from .._web.routes.table import RouteTable
from ..settings import DescopeSettings
from .checks import CheckResult, Severity
from .token import NOWHERE, issue_token

__all__ = ["app", "main"]

_NAME = "fastapi-descope"
_EMULATOR_PORT = 8787

# Without colours: tracebacks in colour show local variables, and those hold tokens.
app = typer.Typer(
    help="Tools for signing in to FastAPI apps through Descope.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

AppName = Annotated[str, typer.Argument(metavar="MODULE:ATTRIBUTE", help="Where the FastAPI app is.")]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; the entry point ``fastapi-descope``. ``arguments`` stand in for the typed ones.

    Exits with 0, 1 for a mistake or a failed check, 2 for a command that does not exist as it was typed.
    """
    try:
        typer.main.get_command(app)(arguments, prog_name=_NAME)
    except DescopeError as error:
        typer.echo(f"Error: {error}", err=True)
    sys.exit(1)


@app.command()
def emulator(
    host: Annotated[str, typer.Option(help="127.0.0.1, localhost or ::1.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = _EMULATOR_PORT,
    seed: Annotated[Path | None, typer.Option(metavar="FILE", help="The project, as TOML or JSON.")] = None,
    project: Annotated[str | None, typer.Option(help="The project id to play.")] = None,
    session_seconds: Annotated[int | None, typer.Option(min=1, help="Life of a session token.")] = None,
    rotate: Annotated[
        bool | None, typer.Option("--rotate/--no-rotate", help="Replace refresh tokens with each refresh.")
    ] = None,
    faults: Annotated[  # noqa: FBT002 - a flag of a command
        bool, typer.Option("--faults", help="Let the console break things.")
    ] = False,
) -> None:
    """Run a Descope to develop against.

    What the other options say comes before what the seed file says.
    """
    named = production_variable(os.environ)
    if named is not None:
        raise ConfigurationError(
            f"{named} says that this is production, and the emulator signs in anybody without a password"
        )
    if project is not None and PROJECT_ID.fullmatch(project) is None:
        raise ConfigurationError("--project: expected P, then 20 to 64 letters and digits")
    seeded = _seeded(seed)
    try:
        played = replace(
            seeded,
            project_id=project or seeded.project_id,
            session_seconds=session_seconds or seeded.session_seconds,
            rotate_refresh=seeded.rotate_refresh if rotate is None else rotate,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--session-seconds") from None
    EmulatorRunner(played, say, console="faults" if faults else "view").run(host=host, port=port)


@app.command()
def doctor(
    app_name: Annotated[
        str, typer.Option("--app", metavar="MODULE:ATTRIBUTE", help="Look at this app, too.")
    ] = "",
) -> None:
    """Check the configuration.

    Settings, the way to Descope and to Redis, cookies; with --app also how the plugin is installed.
    """
    examined = _examined(app_name) if app_name else None
    findings = asyncio.run(Doctor(examined, variables=os.environ).examine())
    for finding in findings:
        typer.echo(str(finding))
    typer.echo(_summary(findings))
    raise typer.Exit(int(any(finding.severity is Severity.FAIL for finding in findings)))


@app.command()
def routes(
    app_name: AppName,
    check: Annotated[bool, typer.Option("--check", help="Fail if a route is public.")] = False,  # noqa: FBT002 - a flag of a command
    public: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="A path that may be public, or with /* all below it. Repeatable."),
    ] = None,
) -> None:
    """List what each route of an app demands."""
    table = RouteTable(_load(app_name))
    typer.echo(str(table))
    unprotected = table.unprotected(public or ()) if check else ()
    for row in unprotected:
        typer.echo(f"Error: anybody gets in: {','.join(row.methods)} {row.path}", err=True)
    if unprotected:
        raise typer.Exit(1)


@app.command()
def token(
    user: Annotated[str, typer.Option(help="The login id of a user that the emulator knows.")],
    tenant: Annotated[
        str | None, typer.Option(help="Without it, that of the user's e-mail domain, or none.")
    ] = None,
    project: Annotated[str, typer.Option(envvar="DESCOPE_PROJECT_ID")] = DEFAULT_PROJECT_ID,
    base_url: Annotated[
        str, typer.Option(envvar=["DESCOPE_BASE_URL", "DESCOPE_BASE_URI"], help="Where the emulator runs.")
    ] = f"http://127.0.0.1:{_EMULATOR_PORT}",
    auth_management_key: Annotated[
        str | None, typer.Option(envvar="DESCOPE_AUTH_MANAGEMENT_KEY", help="If the project demands one.")
    ] = None,
    redirect_url: Annotated[
        str,
        typer.Option(envvar="DESCOPE_PUBLIC_URL", help="One that the project approves of."),
    ] = NOWHERE,
) -> None:
    """Print a session token from a running emulator.

    Signs in the way a browser does. For use with curl: -H "Authorization: Bearer $(...)".
    """
    got = issue_token(
        base_url,
        project_id=project,
        user=user,
        tenant=tenant,
        auth_management_key=auth_management_key,
        redirect_url=redirect_url,
    )
    typer.echo(got)


def say(line: str) -> None:
    """A line on standard output, for as long as anybody reads there: the emulator goes on without."""
    try:
        typer.echo(line)
    except BrokenPipeError:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # nor does Python complain when it ends


def _seeded(file: Path | None) -> Project:
    try:
        return load(file) if file else Project()
    except SeedError as error:
        raise ConfigurationError(str(error)) from None


def _load(name: str) -> Starlette:
    """The app that ``module:attribute`` names, looked for from the current directory on."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: object = import_from_string(name)
    except ImportFromStringError as error:
        raise ConfigurationError(str(error)) from None
    if not isinstance(found, Starlette):
        raise ConfigurationError(f"{name}: expected a FastAPI or Starlette app, found {type(found).__name__}")
    return found


def _examined(name: str) -> Starlette | None:
    """The app, or None if wrong settings keep it from being built: those are to be examined then."""
    try:
        return _load(name)
    except ConfigurationError as error:
        try:
            DescopeSettings()
        except ConfigurationError as wrong:
            if str(wrong) == str(error):
                return None
        raise


def _summary(findings: Sequence[CheckResult]) -> str:
    counts = {verdict: sum(each.severity is verdict for each in findings) for verdict in Severity}
    return f"\n{counts[Severity.OK]} ok, {counts[Severity.WARN]} to look at, {counts[Severity.FAIL]} failed"
