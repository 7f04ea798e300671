"""Reads JSON objects of Descope into frozen values. A field of the wrong type counts as absent."""

import inspect
import math
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Generic, TypeVar, cast

from pydantic import AfterValidator, Field, StrictBool, StrictInt, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from ._encoding import FrozenDict, as_mapping

__all__ = ["EpochSeconds", "Flags", "JsonObject", "ObjectParser", "PositiveInt", "frozen", "usable_fields"]

T = TypeVar("T")

_MAX_DEPTH = 32


def frozen(value: object) -> object:
    """Return a JSON value, read-only at every depth: objects become mappings, lists become tuples.

    Raises:
        ValueError: No response could contain the value: it is nested deeper than 32 levels, or has a number
            that is not finite, or half a surrogate pair.
    """
    return _frozen(value, _MAX_DEPTH)


def _frozen(value: object, depth: int) -> object:
    if depth == 0 or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("not JSON")
    if isinstance(value, str):
        value.encode()
    if (members := as_mapping(value)) is not None:
        return FrozenDict({_frozen(name, depth): _frozen(members[name], depth - 1) for name in members})
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item, depth - 1) for item in cast("Iterable[object]", value))
    return value


EpochSeconds = Annotated[StrictInt, Field(gt=0, lt=253_402_300_800)]
"""A time before the year 10000, the limit of ``datetime.fromtimestamp``."""

PositiveInt = Annotated[StrictInt, Field(gt=0, lt=2**63)]
"""A number that databases can store. 0 is how Descope writes an absent one."""

Flags = Annotated[Mapping[str, StrictBool], AfterValidator(frozen)]
"""A read-only mapping of names to booleans."""

JsonObject = Annotated[Mapping[str, object], AfterValidator(frozen)]
"""A JSON object, read-only at every depth."""


class ObjectParser(Generic[T]):
    """Parses JSON objects into values of a dataclass.

    Args:
        cls: The dataclass. Pydantic validates its fields by their types.
        wire_names: The names in JSON of fields whose name is not that of the field in camel case.
    """

    def __init__(self, cls: type[T], /, **wire_names: str) -> None:
        self._adapter = TypeAdapter(cls)
        names = inspect.get_annotations(cls)
        self._wire_names = {name: wire_names.get(name) or to_camel(name) for name in names}

    def parse(self, value: Mapping[str, object]) -> T | None:
        """Return the value, or None if a required field is absent or of the wrong type.

        Another field of the wrong type has its default. Unknown fields are ignored. No object raises an
        exception.
        """
        usable = usable_fields(value)
        fields = {name: usable[wire] for name, wire in self._wire_names.items() if wire in usable}
        with suppress(ValidationError):
            try:
                return self._adapter.validate_python(fields)
            except ValidationError as error:
                wrong = {problem["loc"][0] for problem in error.errors()}
            return self._adapter.validate_python({name: fields[name] for name in fields.keys() - wrong})
        return None


def usable_fields(value: Mapping[str, object]) -> Mapping[str, object]:
    """Return the fields, read-only at every depth, without those that are null, ``""`` or not sendable."""
    return FrozenDict(_usable_fields(value))


def _usable_fields(value: Mapping[str, object]) -> Generator[tuple[str, object]]:
    for name, member in value.items():
        if member is not None and member != "":
            with suppress(ValueError):
                yield name, frozen(member)
