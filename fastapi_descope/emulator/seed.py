"""A project from a file: TOML, or JSON where the name ends in ``.json``.

The keys are the fields of ``Project`` and of the values in it. Tenants, users and access keys belong
together: a file that has any of the three starts without those it leaves out; one that has none gets the
default people. Everything else that is left out is as in ``Project()``.
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
from .directory import AccessKey, Grants, SeedTenant, SeedUser
from .project import CookieSettings, Project

__all__ = ["SeedError", "load"]

_PEOPLE = ("tenants", "users", "access_keys")
_UNION_MEMBERS = ("str", "tuple[str, ...]")
_PARTS: dict[str, type] = {
    "tenants": SeedTenant,
    "users": SeedUser,
    "access_keys": AccessKey,
    "cookies": CookieSettings,
    "assumptions": Assumptions,
}

for part in (Project, Grants, *_PARTS.values()):
    with_config(ConfigDict(extra="forbid"))(part)  # a key that nobody reads is a misspelt one
_PROJECT = TypeAdapter(Project)


class SeedError(ValueError):
    """A seed file cannot be used: one sentence with the file, the place and what was expected.

    No value of the file is in it but the names of tenants and users: others may be secrets.
    """


def load(path: Path | str) -> Project:
    """The project of a seed file. Raises SeedError."""
    path = Path(path)
    seed = _read(path)
    if seed.keys() & set(_PEOPLE):
        seed = dict.fromkeys(_PEOPLE, ()) | seed
    try:
        # By way of JSON, in which a list is the way to write a tuple and nothing else is converted.
        return _PROJECT.validate_json(json.dumps(seed, default=str, allow_nan=False), strict=True)
    except ValidationError as error:
        first, *more = error.errors(include_input=False, include_url=False)
        rest = f" (and {len(more)} more)" if more else ""
        place, said = _place(first["loc"]), _told(first)
        raise SeedError(f"{path.name}: {place}{said}{rest}") from None
    except (ValueError, RecursionError):
        raise SeedError(f"{path.name}: expected finite numbers and shallow nesting") from None


def _read(path: Path) -> dict[str, object]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        parsed: object = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except IsADirectoryError:
        raise SeedError(f"{path}: expected a file, and this is a directory") from None
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


def _told(error: ErrorDetails) -> str:
    match error["type"]:
        case "unexpected_keyword_argument":
            return f"there is no such key; {_instead(error['loc'])}"
        case "missing":
            return "expected, and not there"
        case "dataclass_type":
            return f"expected an object with the keys {', '.join(_keys(_names(error['loc'])))}"
        case "dict_type" | "mapping_type" if error["loc"][-1] == "tenants":
            return "expected an object with the ids of tenants for keys, such as acme = {}"
        case _:
            said = error["msg"].removeprefix("Value error, ")
            return said.replace("Input should be", "expected")


def _place(location: tuple[int | str, ...]) -> str:
    """Such as ``users[0].tenants.acme: ``, without pydantic's names for the members of a union."""
    steps = [step for step in location if step not in _UNION_MEMBERS]
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return f"{text.removeprefix('.')}: " if text else ""


def _instead(location: tuple[int | str, ...]) -> str:
    """The key that was meant, or else all there are in the place of a wrong one."""
    *outer, wrong = _names(location)
    keys = _keys(outer)
    close = get_close_matches(wrong, keys, 1)
    return f"is {close[0]} meant?" if close else f"expected one of {', '.join(keys)}"


def _names(location: tuple[int | str, ...]) -> list[str]:
    return [step for step in location if isinstance(step, str)]


def _keys(place: list[str]) -> list[str]:
    """The keys of the object that is expected in a place."""
    part = _PARTS[place[0]] if place else Project
    if len(place) > 1:  # users.tenants.acme
        part = Grants
    return sorted(each.name for each in fields(part))
