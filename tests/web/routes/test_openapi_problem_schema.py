"""The schema of problem documents in the OpenAPI document."""

import json
import re

import jsonschema_rs
import pytest
import schemathesis
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from fastapi_descope import (
    BadRequest,
    CurrentTenant,
    Forbidden,
    MissingRoles,
    NotAuthenticated,
    OptionalUser,
    SessionCheckFailed,
    StepUpRequired,
    UpstreamUnavailable,
    require_mfa,
    require_permissions,
    require_roles,
    require_step_up,
    require_tenant,
)
from fastapi_descope.errors import DescopeError
from tests.helpers.app_harness import EnvFactory, no_routes
from tests.helpers.openapi_document import bare_app, nothing, problems


def test_the_errors_of_the_plugins_routes_have_the_schema(make_env: EnvFactory) -> None:
    """Every error response of every route, those of all ways to sign in included."""
    paths = make_env(login_methods=["sso", "google", "notp"], routes=no_routes).app.openapi()["paths"]
    operations = {(path, method): each for path, item in paths.items() for method, each in item.items()}

    assert len(operations) == 13
    for operation in operations.values():
        errors = sorted(status for status in operation["responses"] if status >= "400")
        assert problems(operation) == errors
    assert problems(operations["/callback", "get"]) == ["400", "403", "502", "503"]
    assert problems(operations["/session", "get"]) == ["400", "401", "403", "502", "503"]


def test_a_schema_of_the_app_with_the_same_name_is_kept() -> None:
    """Ours has another name then."""

    class Problem(BaseModel):
        mine: int

    app = bare_app()

    @app.get("/mine", dependencies=[Depends(require_mfa())])
    async def mine() -> Problem:
        return Problem(mine=1)

    document = app.openapi()
    schemas = document["components"]["schemas"]

    assert list(schemas["Problem"]["properties"]) == ["mine"]
    reference = document["paths"]["/mine"]["get"]["responses"]["401"]["content"]["application/problem+json"]
    assert reference["schema"] == {"$ref": "#/components/schemas/DescopeProblem"}
    assert "code" in schemas["DescopeProblem"]["properties"]


def test_an_app_without_guarded_routes_has_no_problem_schema() -> None:
    """Nothing refers to it."""
    assert "components" not in bare_app().openapi()


def test_a_change_of_one_document_leaves_others_alone() -> None:
    """An app may extend its document further."""
    first, second = bare_app(), bare_app()
    for app in (first, second):
        app.get("/me", dependencies=[Depends(require_mfa())])(nothing)
    document = first.openapi()
    document["components"]["schemas"]["Problem"]["properties"].clear()
    document["components"]["securitySchemes"]["DescopeBearer"].clear()
    document["paths"]["/me"]["get"]["responses"]["503"]["headers"].clear()

    assert second.openapi()["components"]["schemas"]["Problem"]["properties"]
    assert second.openapi()["components"]["securitySchemes"]["DescopeBearer"]
    assert second.openapi()["paths"]["/me"]["get"]["responses"]["503"]["headers"]


def _every_kind(app: FastAPI) -> None:
    async def optional(user: OptionalUser) -> None: ...

    async def tenant(tenant: CurrentTenant) -> None: ...

    for number, guard in enumerate(
        (require_roles("a"), require_permissions("b"), require_mfa(), require_step_up(), require_tenant())
    ):
        app.get(f"/{number}/{{tenant_id}}", dependencies=[Depends(guard)])(nothing)
    app.get("/optional")(optional)
    app.get("/tenant")(tenant)


def test_the_document_is_valid_openapi_3_1(make_env: EnvFactory) -> None:
    """By the schema of OpenAPI itself, and every reference resolves."""
    document = make_env(routes=_every_kind).app.openapi()

    schemathesis.openapi.from_dict(document).validate()
    for reference in set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document))):
        assert reference in document["components"]["schemas"]
    assert document["openapi"].startswith("3.1.")
    assert {"SessionOut", "Problem"} <= set(document["components"]["schemas"])


@pytest.mark.parametrize(
    "error",
    [
        NotAuthenticated(),
        StepUpRequired(acr="mfa"),
        Forbidden("Not you"),
        SessionCheckFailed(),
        MissingRoles(("admin", "owner"), any_of=True),
        UpstreamUnavailable(7),
        BadRequest(),
    ],
    ids=lambda error: error.code,
)
@pytest.mark.anyio
async def test_problem_documents_have_the_documented_schema(
    make_env: EnvFactory, error: DescopeError
) -> None:
    """Field by field: none is missing, and none is undocumented."""
    env = make_env(routes=no_routes)

    @env.app.get("/fails")
    async def fails(user: OptionalUser) -> None:
        raise error

    problem = (await env.browser().get("/fails")).json()

    schema = env.app.openapi()["components"]["schemas"]["Problem"]
    jsonschema_rs.validate({**schema, "additionalProperties": False}, problem)
