"""Keeps FastAPI from reading a ``User`` from a request, and an app from discarding what a factory returns.

FastAPI reads a parameter of any type that it can from the request, and accepts any callable as a dependency.
A small slip is dangerous: ``user: User`` would be read from the request body, and ``Depends(require_mfa)``
would require nothing, as would ``require_mfa()`` in the code of a handler. Importing this module installs the
guard on the values of ``session``, ``profile`` and ``login``, which know nothing of FastAPI. The package
exports them through this module.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from types import FunctionType
from typing import Annotated, Any, TypeVar, cast, get_args

from pydantic import BeforeValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from ..callers import Delegate, Machine
from ..errors import ConfigurationError
from ..login import IdpResponse, Login, ProjectCookies
from ..profile import TenantMembership, UserProfile
from ..session import AuthSession, Tenant, User, tenant_id_var

__all__ = [
    "FACTORY_IN_REQUEST",
    "AuthSession",
    "Delegate",
    "IdpResponse",
    "Login",
    "Machine",
    "ProjectCookies",
    "Tenant",
    "TenantMembership",
    "Unreadable",
    "User",
    "UserProfile",
    "dependency_factory",
    "is_dependency_factory",
    "parameter_error",
]

C = TypeVar("C", bound=Callable[..., object])

FACTORY_IN_REQUEST = (
    "{0}() checks nothing in the code of a handler or dependency: it returns a dependency. Use"
    " Depends({0}(...)) in the parameters or the decorator of the route"
)

_NO_VALUE = object()

_FACTORIES: set[object] = set()
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"

_GUARDED: Mapping[type, str] = {
    User: "annotate it as `user: CurrentUser` or `user: OptionalUser`",
    Tenant: "annotate it as `tenant: CurrentTenant` or `tenant: OptionalTenant`",
    AuthSession: "annotate it as `session: CurrentSession` or `session: OptionalSession`",
    Delegate: "annotate it as `delegate: CurrentDelegate`",
    Machine: "annotate it as `machine: CurrentMachine`",
    UserProfile: "call `await get_user_profile(request)`",
    TenantMembership: "call `await get_user_profile(request)`",
    Login: "it is the argument of an on_login hook",
    IdpResponse: "it is the `idp` of a Login, the argument of an on_login hook",
    ProjectCookies: "it is the `project_cookies` of a Login, the argument of an on_login hook",
}
"""The classes that no request may fill, and what to write instead."""


@dataclass(frozen=True)
class Unreadable:
    """Annotation of a parameter: FastAPI fails as soon as it builds a validator for the parameter."""

    message: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        raise ConfigurationError(self.message)


def dependency_factory(factory: C) -> C:
    """Make uses of a factory raise ``ConfigurationError`` that would discard the dependency it returns.

    These are ``Depends(factory)``, and calls while a request is handled.
    """
    name: str = getattr(factory, "__name__")  # noqa: B009 - a Callable need not have one
    kinds = {parameter.kind for parameter in inspect.signature(factory).parameters.values()}
    arguments = "..." if kinds - {inspect.Parameter.KEYWORD_ONLY} else ""
    message = f"Use Depends({name}({arguments})), with parentheses: {name} is a dependency factory"

    @wraps(factory)
    def create(*args: object, **kwargs: object) -> object:
        if _is_request_running() and not _is_import_running():
            raise ConfigurationError(FACTORY_IN_REQUEST.format(name))
        return factory(*args, **kwargs)

    _FACTORIES.add(create)
    _make_signature_unreadable(create, message)
    return cast("C", create)


def is_dependency_factory(value: object) -> bool:
    """Return whether ``value`` is a function with the decorator ``dependency_factory``."""
    return isinstance(value, FunctionType) and value in _FACTORIES


def _is_request_running() -> bool:
    """Return whether the caller runs on behalf of a request: outside of one, the variable has no value."""
    return tenant_id_var.get(_NO_VALUE) is not _NO_VALUE


def _is_import_running() -> bool:
    """Return whether the caller runs while a module is imported: a handler may import one with routes."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename != _IMPORT_SYSTEM:
        frame = frame.f_back
    return frame is not None


def parameter_error(annotation: object) -> str | None:
    """Return why a parameter with this annotation cannot be read from a request, or None if it can."""
    if isinstance(annotation, type):
        return next((_message(cls) for cls in _GUARDED if issubclass(annotation, cls)), None)
    parts: Iterable[object] = get_args(annotation)
    return next(filter(None, map(parameter_error, parts)), None)


def _message(cls: type) -> str:
    return f"{cls.__name__} cannot be a request parameter: {_GUARDED[cls]}"


def _guard(cls: type) -> None:
    """Let Pydantic and FastAPI accept only ready instances of ``cls``, which the package makes.

    As a class dependency it raises ``ConfigurationError`` when the route is declared. Data for it is a
    validation error, by itself or inside a model. Instances are serialised like those of any dataclass.
    """

    def require_instance(value: object) -> object:
        if isinstance(value, cls):
            return value
        raise ValueError(_message(cls))

    def schema(source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return BeforeValidator(require_instance).__get_pydantic_core_schema__(source, handler)

    _make_signature_unreadable(cls, _message(cls))
    setattr(cls, "__get_pydantic_core_schema__", staticmethod(schema))  # noqa: B010 - not a field of the class


def _make_signature_unreadable(call: Callable[..., object], message: str) -> None:
    """Mark one parameter of ``call`` as ``Unreadable``, and leave its signature as it is otherwise."""
    signature = inspect.signature(call)
    first, *others = signature.parameters.values() or [
        inspect.Parameter("parentheses", inspect.Parameter.KEYWORD_ONLY, annotation=Any)
    ]
    marked = first.replace(annotation=Annotated[first.annotation, Unreadable(message)])
    new = signature.replace(parameters=[marked, *others])
    setattr(call, "__signature__", new)  # noqa: B010 - functions and classes may both have one


for _cls in _GUARDED:
    _guard(_cls)
