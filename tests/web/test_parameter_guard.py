"""The guard that keeps FastAPI from reading a user from a request."""

import inspect
import subprocess
import sys
from dataclasses import replace
from typing import Annotated, Any
from unittest.mock import create_autospec

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from fastapi_descope._web.parameter_guard import dependency_factory, parameter_error
from fastapi_descope.errors import ConfigurationError
from fastapi_descope.login import IdpResponse, Login, ProjectCookies
from fastapi_descope.profile import TenantMembership, UserProfile
from fastapi_descope.session import AuthSession, Tenant, User

CLAIMS: dict[str, object] = {"sub": "U1", "iat": 1, "exp": 2, "dct": "acme", "tenants": {"acme": {}}}
SESSION = AuthSession.from_claims(CLAIMS)
ACME = Tenant("acme")


class Visit(BaseModel):
    """A response or body model with guarded classes in it."""

    user: User
    tenants: list[Tenant] = []
    note: str = ""


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (User, {"id": "admin"}),
        (Tenant, {"id": "acme", "roles": ["owner"]}),
        (UserProfile, {"user_id": "admin"}),
        (TenantMembership, {"id": "acme"}),
        (Login, {"session": SESSION, "user": UserProfile("U1")}),
        (IdpResponse, {"groups": ["admins"]}),
        (ProjectCookies, {}),
        (User | None, {"id": "admin"}),
        (list[User], [{"id": "admin"}]),
        (Visit, {"user": {"id": "admin"}}),
    ],
)
def test_data_is_never_parsed_to_a_guarded_class(kind: Any, data: object) -> None:
    """Neither directly nor inside another type. The error names the fix."""
    with pytest.raises(ValidationError, match="cannot be a request parameter"):
        TypeAdapter[object](kind).validate_python(data)


def test_instances_pass_the_guard_unchanged() -> None:
    """Instances pass unchanged, and are serialised like any dataclass."""
    assert TypeAdapter[object](AuthSession).validate_python(SESSION) is SESSION
    assert TypeAdapter[object](User | None).validate_python(None) is None
    assert TypeAdapter[object](str | User).validate_python("nobody") == "nobody"
    assert Visit(user=SESSION.user, tenants=[ACME]).model_dump()["tenants"] == [
        {"id": "acme", "roles": (), "permissions": ()}
    ]
    profile = UserProfile("U1", tenants={"acme": TenantMembership("acme")})
    assert TypeAdapter(UserProfile).validate_python(profile) is profile
    assert b'"tenants":{"acme":{"id":"acme"' in TypeAdapter(UserProfile).dump_json(profile)
    assert b'"tenant_id"' not in TypeAdapter(AuthSession).dump_json(SESSION)


def test_the_serialisation_schema_lists_the_fields() -> None:
    """OpenAPI describes the response."""
    schema = TypeAdapter[object](Tenant).json_schema(mode="serialization")

    assert list(schema["properties"]) == ["id", "roles", "permissions"]


def test_guarded_classes_are_constructed_as_before() -> None:
    """The signature lists the same parameters, also for test doubles."""
    assert list(inspect.signature(Tenant).parameters) == ["id", "roles", "permissions"]
    assert list(inspect.signature(UserProfile).parameters)[:3] == ["user_id", "login_ids", "name"]
    assert (
        UserProfile.from_json({"userId": "U1"})
        == UserProfile("U1")
        == replace(UserProfile("U2"), user_id="U1")
    )
    assert replace(ACME, roles=("owner",)) == Tenant("acme", ("owner",))
    assert create_autospec(User, instance=True).roles is not None


@pytest.mark.parametrize(
    ("annotation", "instead"),
    [
        (User, "user: CurrentUser"),
        (Tenant | None, "tenant: CurrentTenant"),
        (Annotated[list[AuthSession], "anything"], "session: CurrentSession"),
        (UserProfile, "await get_user_profile"),
        (Login, "the argument of an on_login hook"),
        (IdpResponse | None, "`idp` of a Login"),
    ],
)
def test_a_parameter_error_names_the_fix(annotation: object, instead: str) -> None:
    """The class may be anywhere in the annotation."""
    assert instead in (parameter_error(annotation) or "")


@pytest.mark.parametrize("annotation", [str, dict[str, int], None, "User"])
def test_other_annotations_have_no_parameter_error(annotation: object) -> None:
    """Other types are not restricted."""
    assert parameter_error(annotation) is None


def test_depends_on_an_uncalled_factory_is_an_error() -> None:
    """This holds for a factory without parameters. Calling it works as before."""

    @dependency_factory
    def demand_nothing() -> str:
        return "made"

    (parameter,) = inspect.signature(demand_nothing).parameters.values()
    with pytest.raises(ConfigurationError, match=r"^Use Depends\(demand_nothing\(\)\), with parentheses"):
        TypeAdapter[object](parameter.annotation)
    assert demand_nothing() == "made"


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("AuthSession", "session"),
        ("Tenant", "session"),
        ("User", "session"),
        ("UserProfile", "profile"),
        ("Login", "login"),
    ],
)
def test_importing_a_guarded_class_from_the_package_installs_the_guard(name: str, home: str) -> None:
    """In a new process, where nothing else has loaded the guard; the values alone load no framework."""
    program = f"""
import sys
import fastapi_descope.{home}
assert not {{"fastapi", "starlette"}} & sys.modules.keys()
from fastapi_descope import {name}
assert {name} is fastapi_descope.{home}.{name}
from pydantic import TypeAdapter, ValidationError
try:
    TypeAdapter({name}).validate_python({{"id": "U1", "user_id": "U1"}})
except ValidationError as error:
    print(error.errors()[0]["msg"])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert f"{name} cannot be a request parameter" in done.stdout
