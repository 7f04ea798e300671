"""A command as somebody types it, in this process."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fastapi_descope._cli.main import main


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended, and what it wrote."""

    status: object
    out: str
    err: str


Run = Callable[..., CommandResult]


def command_runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def command(*arguments: str) -> CommandResult:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        written = capsys.readouterr()
        return CommandResult(ended.value.code, written.out, written.err)

    return command
