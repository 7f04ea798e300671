"""Settings from keyword arguments and ``DESCOPE_*`` variables, with errors that never contain a value."""

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from ..errors import ConfigurationError
from .env import PREFIX, Environment, InvalidValue
from .setting_types import MAY_BE_BLANK, REFUSED, refuse

__all__ = ["EnvSettings"]


class EnvSettings(BaseSettings):
    """Settings of pydantic-settings, extended by the sources and warnings of ``Environment``.

    A subclass declares fields and no ``__init__``: type checkers derive the keyword arguments from the
    fields, so a setting is declared once. Each field needs a default (``...`` if the setting is required),
    because type checkers cannot know that the environment provides a value.

    Raises:
        ConfigurationError: a value is missing or wrong. The message lists all of them.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    # A keyword argument of pydantic-settings, declared for type checkers. The attribute stays None.
    _secrets_dir: str | Path | None = None

    def __init__(self, **values: Any) -> None:
        environment, fields = Environment(os.environ), type(self).model_fields
        environment.warn_of_unknown(fields)
        values = {**environment.file_and_alias_values(fields), **values}
        problem = None
        try:
            super().__init__(**values)
        except ValidationError as error:
            problem = _explain(error.errors(include_input=False, include_url=False), fields)
        except (SettingsError, OSError, UnicodeError):
            problem = "_secrets_dir: expected a directory of small, readable text files"
        if problem is not None:  # not raised above, because __context__ would contain the values
            raise ConfigurationError(problem)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_invalid_and_blank(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, InvalidValue):
            refuse(value.reason)
        is_blank = isinstance(value, str) and not value.strip()
        if is_blank and MAY_BE_BLANK not in cls.model_fields[str(info.field_name)].metadata:
            refuse("empty; set a value or remove this setting")
        return value


def _explain(errors: Sequence[ErrorDetails], fields: Mapping[str, FieldInfo]) -> str:
    """Return one line for each wrong setting, without any value."""
    # ST-05: neither the input nor the text of a validator is used.
    # A default factory is not called if a setting it depends on is wrong: not an error of its own.
    errors = [error for error in errors if error["type"] != "default_factory_not_called"]
    lines = list({error["loc"][:1]: _error_line(error, fields) for error in errors}.values())
    if len(lines) == 1:
        return lines[0]
    return "\n- ".join([f"{len(lines)} settings are wrong:", *lines])


def _error_line(error: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "*"  # a model validator of a subclass
    variable = PREFIX + name.upper()
    match error["type"]:
        case "extra_forbidden":
            return _unknown_keyword(name, fields)
        case "missing" if name == "project_id":
            return (
                f"{variable} is missing. Copy it from the Descope console (Project settings); to work"
                " without a Descope project, run `fastapi-descope emulator` and use the id it prints"
            )
        case kind if kind == REFUSED:
            return f"{variable}: {error['msg']}"
        case _:
            expected = (fields[name].description if name in fields else None) or "another value"
            return f"{variable}: expected {expected}"


def _unknown_keyword(name: str, fields: Mapping[str, FieldInfo]) -> str:
    near = get_close_matches(name, fields, n=1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")
