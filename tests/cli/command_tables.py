"""The commands and options of the command line as typer has them, as tables in Markdown."""

from collections.abc import Iterator
from typing import Any

import typer

from fastapi_descope._cli.main import app

__all__ = ["command_tables"]


def command_tables() -> dict[str, list[str]]:
    """Return the rows for the parameters of each command, by its full name."""
    root: Any = typer.main.get_command(app)
    return {name: [_row(each) for each in command.params] for name, command in _commands(root)}


def _commands(root: Any, name: str = "fastapi-descope") -> Iterator[tuple[str, Any]]:
    yield name, root
    for child_name, child in getattr(root, "commands", {}).items():
        yield from _commands(child, f"{name} {child_name}")


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"| `{parameter.metavar}` | {parameter.help} |"
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    metavar = "" if parameter.is_flag else f" {parameter.metavar}"
    envvar: str | list[str] | None = parameter.envvar
    env = ", ".join(f"`{each}`" for each in ([envvar] if isinstance(envvar, str) else envvar or ()))
    suffix = f" Variable: {env}." if env else ""
    return f"| `{names}{metavar}` | {parameter.help}{suffix} |"
