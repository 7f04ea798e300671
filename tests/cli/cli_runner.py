"""Run a ``fastapi-descope`` command in the test process."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fastapi_descope._cli.main import main

__all__ = ["CommandResult", "Run", "command_runner"]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The exit status of a command, and what it wrote."""

    status: object
    out: str
    err: str


Run = Callable[..., CommandResult]


def command_runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command with the given arguments."""

    def run(*arguments: str) -> CommandResult:
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        captured = capsys.readouterr()
        return CommandResult(exited.value.code, captured.out, captured.err)

    return run
