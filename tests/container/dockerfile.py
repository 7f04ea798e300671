"""A strict reader of Dockerfiles. It knows the instructions of ours and refuses any other."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Ignored", "Stage", "parse", "read_stages"]

_INSTRUCTIONS = frozenset(
    {"FROM", "WORKDIR", "RUN", "COPY", "ENV", "USER", "EXPOSE", "VOLUME", "HEALTHCHECK", "CMD"}
)
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its base, its name, and its instructions in order."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def parse(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction with its arguments as one line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, arguments = line.partition(" ")
        if name not in _INSTRUCTIONS:
            raise ValueError(f"unknown instruction: {line}")
        yield name, arguments.strip()


def read_stages(text: str) -> list[Stage]:
    """Return the stages of a Dockerfile. A stage without ``AS`` has its number as its name."""
    stages: list[Stage] = []
    for name, arguments in parse(text):
        if name == "FROM":
            match = re.fullmatch(r"(\S+)(?: AS (\S+))?", arguments)
            if match is None:
                raise ValueError(f"unknown form: FROM {arguments}")
            stages.append(Stage(match[1], match[2] or str(len(stages))))
        else:
            stages[-1].instructions.append((name, arguments))
    return stages


def variables(arguments: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that an ENV instruction sets."""
    pairs = (pair.partition("=") for pair in shlex.split(arguments))
    return {name: _VARIABLE.sub(lambda match: known[match[1]], value) for name, _, value in pairs}


def exec_form(arguments: str) -> Sequence[str]:
    """Return the command of a CMD or a HEALTHCHECK. It has to be a JSON list.

    A shell would be process 1, and would not pass on SIGTERM.
    """
    command: list[str] = json.loads(arguments[arguments.index("[") :])
    return command


class Ignored:
    """The rules of a .dockerignore file: the last one that matches a path or a parent of it decides."""

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.splitlines())
        rules = [line for line in lines if line and not line.startswith("#")]
        self._rules = [(_pattern(rule.removeprefix("!")), not rule.startswith("!")) for rule in rules]

    def __call__(self, path: Path) -> bool:
        """Return whether a path, relative to the build context, is not part of it."""
        paths = [path.as_posix(), *(parent.as_posix() for parent in path.parents if parent.name)]
        verdicts = [ignored for rule, ignored in self._rules if any(map(rule.fullmatch, paths))]
        return bool(verdicts) and verdicts[-1]


def _pattern(rule: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*)", rule)
    known = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*"}
    return re.compile("".join(known.get(part, re.escape(part)) for part in parts))
