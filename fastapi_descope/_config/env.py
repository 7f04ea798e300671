"""What the environment says beyond pydantic's own reading of it.

``DESCOPE_X_FILE`` names a file that holds the value of ``DESCOPE_X``, ``DESCOPE_BASE_URI`` is what
Descope's Python SDK calls ``DESCOPE_BASE_URL``, and a name that nobody reads is pointed out.
Names match in any case, as pydantic has them.
"""

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import currentframe
from pathlib import Path

__all__ = ["PREFIX", "Environment", "InvalidValue", "UnknownSettingWarning"]

PREFIX = "DESCOPE_"
_PACKAGE = f"{__name__.partition('.')[0]}."
_FILE = "_FILE"
_MAX_FILE_BYTES = 65536
_SYNONYMS = {"BASE_URI": "BASE_URL"}
# Read by Descope's own SDKs and samples and by other integrations: none of our business.
_FOREIGN = frozenset(
    {"CONFIG_URL", "COOKIE_SECRET", "FLOW_ID", "MANAGEMENT_KEY", "PUBLIC_KEY", "USERNAME_CLAIM"}
)


class UnknownSettingWarning(UserWarning):
    """A ``DESCOPE_*`` variable is set that no setting reads: a typing error, most likely."""


@dataclass(frozen=True, slots=True)
class InvalidValue:
    """Stands in for a value that could not be had; ``reason`` is safe to show."""

    reason: str


def _content(path: str) -> str | InvalidValue:
    """The text of a file, without the blanks around it. Blocks on the disk, at start only."""
    try:
        with Path(path).open("rb") as file:
            body = file.read(_MAX_FILE_BYTES + 1)
        if len(body) <= _MAX_FILE_BYTES:
            return body.decode().strip()
    except (OSError, ValueError):  # ValueError: not UTF-8, or a path that holds a NUL
        return InvalidValue("its file cannot be read as UTF-8 text; check the path and its permissions")
    return InvalidValue(f"its file is larger than {_MAX_FILE_BYTES} bytes")


def _levels_to_user() -> int:
    """How far up the stack the line is that is not of this package, for the caller's ``warnings.warn``."""
    frame, level = currentframe(), 0
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


class Environment:
    """The ``DESCOPE_*`` variables of a process, as they were when this was made."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = {
            name.upper().removeprefix(PREFIX): value
            for name, value in variables.items()
            if name.upper().startswith(PREFIX)
        }

    def file_and_alias_values(self, settings: Collection[str]) -> dict[str, str | InvalidValue]:
        """The values of ``settings`` that pydantic does not find itself, by setting.

        Reads the files that are named. A setting given twice with different values is ``Unusable``.
        """
        found = {setting: self._indirect(setting.upper()) for setting in settings}
        return {setting: value for setting, value in found.items() if value is not None}

    def warn_of_unknown(self, settings: Collection[str]) -> None:
        """Warn of every variable that none of ``settings`` reads, with the nearest name that one does.

        Warns with ``UnknownSettingWarning``, of the line outside this package that led here.
        """
        known = {setting.upper() for setting in settings} | set(_SYNONYMS)
        for name in sorted(self._variables):
            if name.removesuffix(_FILE) not in known | _FOREIGN:
                near = get_close_matches(name.removesuffix(_FILE), sorted(known), n=1)
                hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
                message = f"{PREFIX}{name} is no setting of fastapi_descope and has no effect{hint}"
                warnings.warn(message, UnknownSettingWarning, stacklevel=_levels_to_user())

    def _indirect(self, name: str) -> str | InvalidValue | None:
        spellings = (name, *(synonym for synonym, meant in _SYNONYMS.items() if meant == name))
        names = [n for s in spellings for n in (s, s + _FILE) if n in self._variables]
        values = {self._value(each) for each in names}
        if len(values) > 1:
            listed = ", ".join(PREFIX + each for each in names)
            return InvalidValue(f"given more than once, with different values; keep one of {listed}")
        return None if name in names else next(iter(values), None)

    def _value(self, name: str) -> str | InvalidValue:
        text = self._variables[name]
        return _content(text) if name.endswith(_FILE) else text
