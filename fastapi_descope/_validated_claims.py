"""The claims of a session as instances of an app's models, validated once for each model."""

from collections.abc import Hashable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from ._telemetry.log_once import LogOnce
from .errors import ClaimsInvalid

__all__ = ["ValidatedClaims"]

M = TypeVar("M")

_log_once = LogOnce()


@dataclass(frozen=True, slots=True)
class _Validated:
    """The claims as an instance of a model. ``is_shared`` tells that no code can change it."""

    value: object
    is_shared: bool


@dataclass(frozen=True, slots=True)
class _Invalid:
    """Why claims do not fit a model: the names of the model and of its fields."""

    model: str
    fields: tuple[str, ...]


_Models = dict[object, _Validated | _Invalid]


class ValidatedClaims:
    """The slot of an ``AuthSession`` for its claims as models.

    Not a field: it is no part of comparisons, ``repr``, copies, pickles, ``asdict`` and responses.
    """

    __slots__ = ("_models",)
    _models: _Models

    def _claims_as(self, claims: Mapping[str, object], model: type[M]) -> M:
        """Return ``claims``, which are the same in each call, as an instance of ``model``.

        Raises:
            ClaimsInvalid: they do not fit the model.
        """
        # Shared by all requests with the token, like the claims: TV-17.
        models: _Models | None = getattr(self, "_models", None)
        if models is None:
            models = {}
            object.__setattr__(self, "_models", models)  # frozen
        found = models.get(model)
        if found is None:  # two threads may validate at once; both get the same result
            found = models.setdefault(model, _validate(claims, model))
        if isinstance(found, _Invalid):
            raise ClaimsInvalid(found.model, found.fields)
        return cast("M", found.value if found.is_shared else deepcopy(found.value))


def _validate(claims: Mapping[str, object], model: type[object]) -> _Validated | _Invalid:
    name: str = getattr(model, "__name__", "the model")
    try:
        # As JSON, so that a strict model accepts a string for a UUID or a date, and a list for a tuple.
        value = _adapter(cast("Hashable", model)).validate_json(to_json(claims))
    except ValidationError as error:
        fields = _field_names(error)
        _log_once.warning(
            f"The claims of a session do not fit {name}: {', '.join(fields)}. Requests that need them get a"
            " 403. The project's JWT template sets the claims"
        )
        return _Invalid(name, fields)
    return _Validated(value, is_shared=_is_hashable(value))


@lru_cache(maxsize=128)
def _adapter(model: Hashable) -> TypeAdapter[object]:
    return TypeAdapter(cast("type[object]", model))


def _field_names(error: ValidationError) -> tuple[str, ...]:
    """Return the names of the model's fields with an error, sorted.

    Only the first part of a location is a name that the model declares. Others can be keys in the claims,
    such as e-mail addresses. The name of an unknown claim, which the model forbids, is omitted too.
    """
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    known = [each["loc"][:1] for each in errors if each["type"] != "extra_forbidden"]
    names = {str(location[0]) if location else "(model)" for location in known}
    return (*sorted(names), *(["(unknown claims)"] if len(known) < len(errors) else []))


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
