"""What no request may fill, however a route is declared: users who say of themselves who they are.

FastAPI reads a parameter of any type it can from the request, and calls any function as a dependency. With
one word less than meant, ``user: User`` is who the body says, and ``Depends(require_mfa)`` demands nothing.
Whoever tries to read what is marked here is told at once what to write.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BeforeValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from ..errors import ConfigurationError

__all__ = ["dependency_factory", "not_a_request_parameter", "parameter_error"]

C = TypeVar("C", bound=Callable[..., object])
T = TypeVar("T")

_WHY = "_fastapi_descope_never_from_a_request"


@dataclass(frozen=True)
class _Unreadable:
    """Stops whoever makes a validator for what it annotates, as FastAPI does when a route is declared."""

    why: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        raise ConfigurationError(self.why)


def dependency_factory(factory: C) -> C:
    """Have ``Depends(factory)`` raise ``ConfigurationError``, which would else throw away what it makes."""
    name: str = getattr(factory, "__name__")  # noqa: B009 - a Callable need not have one
    _mark(factory, f"{name}() needs its parentheses: Depends({name}) demands nothing of anybody")
    return factory


def not_a_request_parameter(instead: str) -> Callable[[type[T]], type[T]]:
    """Have the values of a class come from the package alone: ``instead`` is what an endpoint has to ask for.

    As a dependency it raises ``ConfigurationError`` where the route is declared. A body does not fit, by
    itself or as a part of a model. Answers are made from its values as from those of any dataclass.
    """

    def mark(cls: type[T]) -> type[T]:
        why = f"A request never says who sent it, so no {cls.__name__} is read from one: write {instead}"

        def as_it_is(value: object) -> object:
            if isinstance(value, cls):
                return value
            raise ValueError(why)

        def schema(source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
            return BeforeValidator(as_it_is).__get_pydantic_core_schema__(source, handler)

        _mark(cls, why)
        setattr(cls, _WHY, why)
        setattr(cls, "__get_pydantic_core_schema__", staticmethod(schema))  # noqa: B010 - no field of the class
        return cls

    return mark


def parameter_error(annotation: object) -> str | None:
    """Why no parameter with this annotation may be read from a request; None if one may."""
    why: object = getattr(annotation, _WHY, None)
    parts: Iterable[object] = get_args(annotation)
    return why if isinstance(why, str) else next(filter(None, map(parameter_error, parts)), None)


def _mark(call: Callable[..., object], why: str) -> None:
    """Have the signature of ``call``, else as it was, hold a parameter that cannot be read."""
    signature = inspect.signature(call)
    unreadable = _Unreadable(why)
    first, *others = signature.parameters.values() or [
        inspect.Parameter("parentheses", inspect.Parameter.KEYWORD_ONLY, annotation=Any)
    ]
    marked = first.replace(annotation=Annotated[first.annotation, unreadable])
    new = signature.replace(parameters=[marked, *others])
    setattr(call, "__signature__", new)  # noqa: B010 - functions and classes alike may have one
