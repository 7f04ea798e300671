"""Sources of settings that pydantic-settings lacks, and a warning about unknown variables.

``DESCOPE_X_FILE`` names a file that contains the value of ``DESCOPE_X``. ``DESCOPE_BASE_URI`` is the name
of ``DESCOPE_BASE_URL`` in Descope's Python SDK. Names are case-insensitive, as in pydantic-settings.
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
_ALIASES = {"BASE_URI": "BASE_URL"}
# Variables of Descope's SDKs and samples and of other integrations.
_FOREIGN = frozenset(
    {"CONFIG_URL", "COOKIE_SECRET", "FLOW_ID", "MANAGEMENT_KEY", "PUBLIC_KEY", "USERNAME_CLAIM"}
)


class UnknownSettingWarning(UserWarning):
    """A ``DESCOPE_*`` variable is set that no setting reads, most likely because of a typing error."""


@dataclass(frozen=True, slots=True)
class InvalidValue:
    """Replaces a value that cannot be read; ``reason`` contains no secret."""

    reason: str


def _read_file(path: str) -> str | InvalidValue:
    """Return the text of a file, stripped. Blocks the event loop, which is acceptable at start-up only."""
    try:
        with Path(path).open("rb") as file:
            body = file.read(_MAX_FILE_BYTES + 1)
        if len(body) <= _MAX_FILE_BYTES:
            return body.decode().strip()
    except (OSError, ValueError):  # ValueError: not UTF-8, or a NUL in the path
        return InvalidValue("its file cannot be read as UTF-8 text; check its path and permissions")
    return InvalidValue(f"its file is larger than {_MAX_FILE_BYTES} bytes")


def _caller_stacklevel() -> int:
    """Return the ``stacklevel`` of the first frame outside this package, for a call of ``warnings.warn``."""
    frame, level = currentframe(), 0
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


class Environment:
    """A snapshot of the ``DESCOPE_*`` variables of the process."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = {
            name.upper().removeprefix(PREFIX): value
            for name, value in variables.items()
            if name.upper().startswith(PREFIX)
        }

    def file_and_alias_values(self, settings: Collection[str]) -> dict[str, str | InvalidValue]:
        """Return the values of ``settings`` that come from a file or an alias, by setting. Reads the files.

        A setting that has several different values gets an ``InvalidValue``.
        """
        values = {setting: self._file_or_alias_value(setting.upper()) for setting in settings}
        return {setting: value for setting, value in values.items() if value is not None}

    def warn_of_unknown(self, settings: Collection[str]) -> None:
        """Warn about every variable that none of ``settings`` reads, and suggest the nearest known name.

        Warns:
            UnknownSettingWarning: attributed to the calling line outside this package.
        """
        for message in self.unknown(settings):
            warnings.warn(message, UnknownSettingWarning, stacklevel=_caller_stacklevel())

    def unknown(self, settings: Collection[str]) -> list[str]:
        """Return a message for each variable that no setting reads, with the nearest known name."""
        known = {setting.upper() for setting in settings} | set(_ALIASES)
        messages: list[str] = []
        for name in sorted(self._variables):
            if name.removesuffix(_FILE) not in known | _FOREIGN:
                near = get_close_matches(name.removesuffix(_FILE), sorted(known), n=1)
                hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
                messages.append(f"{PREFIX}{name} is not a setting of fastapi_descope and has no effect{hint}")
        return messages

    def _file_or_alias_value(self, name: str) -> str | InvalidValue | None:
        aliases = (name, *(alias for alias, target in _ALIASES.items() if target == name))
        names = [found for alias in aliases for found in (alias, alias + _FILE) if found in self._variables]
        values = {self._value(found) for found in names}
        if len(values) > 1:
            variables = ", ".join(PREFIX + found for found in names)
            return InvalidValue(f"set more than once with different values; keep only one of {variables}")
        return None if name in names else next(iter(values), None)

    def _value(self, name: str) -> str | InvalidValue:
        text = self._variables[name]
        return _read_file(text) if name.endswith(_FILE) else text
