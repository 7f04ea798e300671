"""Loads a project from a seed file: TOML, or JSON if the file name ends in ``.json``.

The keys are the fields of ``Project`` and of the dataclasses in it. A file that defines any of tenants, users
and access keys gets no default ones. Everything else that is left out has the defaults of ``Project``.
"""

import json
import tomllib
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails

from .assumptions import Assumptions
from .directory import AccessKey, Grants, SeedAccount, SeedIdp, SeedLogin, SeedTenant, SeedUser
from .inbound_apps import InboundApp, McpServer
from .project import CookieSettings, Project

__all__ = ["SeedError", "load"]

_DIRECTORY = ("tenants", "users", "access_keys")
_UNION_MEMBERS = ("str", "tuple[str, ...]")
_PARTS: dict[str, type] = {
    "tenants": SeedTenant,
    "users": SeedUser,
    "access_keys": AccessKey,
    "inbound_apps": InboundApp,
    "mcp_servers": McpServer,
    "cookies": CookieSettings,
    "assumptions": Assumptions,
}
_PARTS_OF_A_USER: dict[str, type] = {"account": SeedAccount, "idp": SeedIdp, "login": SeedLogin}

for part in (Project, Grants, *_PARTS.values(), *_PARTS_OF_A_USER.values()):
    with_config(ConfigDict(extra="forbid"))(part)  # an unknown key is a typing error
_PROJECT = TypeAdapter(Project)


class SeedError(ValueError):
    """A seed file that cannot be used. The message has the file name, the position and the expected value.

    It contains no values of the file except the names of tenants and users, because others may be secrets.
    """


def load(path: Path | str) -> Project:
    """Load the project of a seed file.

    Raises:
        SeedError: The file cannot be read, or is not a valid project.
    """
    path = Path(path)
    seed = _read(path)
    if seed.keys() & set(_DIRECTORY):
        seed = dict.fromkeys(_DIRECTORY, ()) | seed
    try:
        # Through JSON: in strict mode, only JSON input converts a list to a tuple, and nothing else.
        return _PROJECT.validate_json(json.dumps(seed, default=str, allow_nan=False), strict=True)
    except ValidationError as error:
        first, *more = error.errors(include_input=False, include_url=False)
        rest = f" (and {len(more)} more)" if more else ""
        raise SeedError(f"{path.name}: {_position(first['loc'])}{_describe(first)}{rest}") from None
    except (ValueError, RecursionError):
        raise SeedError(f"{path.name}: expected finite numbers and shallow nesting") from None


def _read(path: Path) -> dict[str, object]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        parsed: object = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except IsADirectoryError:
        raise SeedError(f"{path}: expected a file, not a directory") from None
    except OSError as error:
        raise SeedError(f"{path.name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SeedError(f"{path.name}: expected text in UTF-8") from None
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise SeedError(f"{path.name}: expected {kind}: {error}") from None
    if not isinstance(parsed, dict):
        raise SeedError(f"{path.name}: expected an object with the fields of a project")
    return cast("dict[str, object]", parsed)


def _describe(error: ErrorDetails) -> str:
    match error["type"]:
        case "unexpected_keyword_argument":
            return f"unknown key; {_suggestion(error['loc'])}"
        case "missing":
            return "required, but missing"
        case "dataclass_type":
            return f"expected an object with the keys {', '.join(_keys(_names(error['loc'])))}"
        case "dict_type" | "mapping_type" if error["loc"][-1] == "tenants":
            return "expected an object whose keys are tenant ids, such as acme = {}"
        case _:
            message = error["msg"].removeprefix("Value error, ")
            return message.replace("Input should be", "expected")


def _position(location: tuple[int | str, ...]) -> str:
    """Return a position such as ``users[0].tenants.acme: ``, without pydantic's names for union members."""
    steps = [step for step in location if step not in _UNION_MEMBERS]
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return f"{text.removeprefix('.')}: " if text else ""


def _suggestion(location: tuple[int | str, ...]) -> str:
    """Return a suggestion for a wrong key: the closest valid key, or all valid keys."""
    *outer, wrong = _names(location)
    keys = _keys(outer)
    close = get_close_matches(wrong, keys, 1)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(keys)}"


def _names(location: tuple[int | str, ...]) -> list[str]:
    return [step for step in location if isinstance(step, str)]


def _keys(position: list[str]) -> list[str]:
    """Return the valid keys of the object at a position."""
    part: type = Project
    if len(position) == 1:
        part = _PARTS[position[0]]
    elif position:  # users.idp, users.tenants.acme
        part = _PARTS_OF_A_USER.get(position[1], Grants)
    return sorted(field.name for field in fields(part))
