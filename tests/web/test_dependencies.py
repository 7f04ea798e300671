"""Dependencies: present, optional and required (TN-03, TN-04, TN-05)."""

import re
from collections.abc import Callable
from enum import Enum, StrEnum
from functools import partial
from typing import Annotated, cast

import httpx
import pytest
from fastapi import Depends, FastAPI, WebSocket, params
from starlette.requests import Request
from starlette.types import Scope

from fastapi_descope import (
    AuthSession,
    ConfigurationError,
    CurrentSession,
    CurrentTenant,
    CurrentUser,
    OptionalSession,
    OptionalTenant,
    OptionalUser,
    current_user,
    deny_impersonated,
    get_auth_session,
    optional_user,
    require_any_permission,
    require_any_role,
    require_mfa,
    require_permissions,
    require_roles,
    require_step_up,
    require_tenant,
)
from fastapi_descope._web.requirements import Requirement
from fastapi_descope.session import Tenant, User
from tests.helpers.app_harness import APP, AppHarness, Browser, EnvFactory

pytestmark = pytest.mark.anyio


def _routes(app: FastAPI) -> None:
    @app.get("/current")
    async def current(session: CurrentSession, user: CurrentUser, tenant: CurrentTenant) -> list[object]:
        return [session.user.id == user.id, tenant.id]

    @app.get("/optional")
    async def optional(session: OptionalSession, user: OptionalUser, tenant: OptionalTenant) -> list[object]:
        return [session is not None, user is not None, tenant.id if tenant else None]

    @app.get("/asked")
    async def asked(request: Request) -> bool:
        return await get_auth_session(request) is not None

    @app.get("/admins")
    async def admins(session: Annotated[AuthSession, Depends(require_roles("admin"))]) -> str:
        return session.user.id

    @app.get("/tenants/{tenant_id}")
    async def one_tenant(session: Annotated[AuthSession, Depends(require_tenant())]) -> str | None:
        return session.tenant_id

    @app.get("/nowhere", dependencies=[Depends(require_tenant("org"))])
    async def nowhere() -> None:
        return None

    _demanding_routes(app)


def _demanding_routes(app: FastAPI) -> None:
    @app.get("/project-admins", dependencies=[Depends(require_roles("support", project=True))])
    async def project_admins() -> bool:
        return True

    @app.get("/readers", dependencies=[Depends(require_permissions("reports.read"))])
    async def readers() -> bool:
        return True

    @app.get("/fresh", dependencies=[Depends(require_step_up(max_age=300))])
    async def fresh() -> bool:
        return True

    @app.get("/strong", dependencies=[Depends(require_mfa())])
    async def strong() -> bool:
        return True


async def _ada(env: AppHarness) -> Browser:
    browser = env.browser()
    await browser.sign_in()
    return browser


def _bearer(
    env: AppHarness, user: str = "ada@acme.example", tenant: str | None = "acme", **claims: object
) -> str:
    return f"Bearer {env.emulator.issue(user, tenant=tenant, **claims).session_jwt}"  # type: ignore[arg-type] # any claim


async def test_aliases_return_session_user_and_tenant(make_env: EnvFactory) -> None:
    """Three parameters, one authentication: they agree."""
    assert (await (await _ada(make_env(routes=_routes))).get("/current")).json() == [True, "acme"]


async def test_optional_aliases_are_none_without_a_session(make_env: EnvFactory) -> None:
    """An unauthenticated request is no error for an optional dependency."""
    assert (await make_env(routes=_routes).browser().get("/optional")).json() == [False, False, None]


async def test_optional_aliases_return_the_session(make_env: EnvFactory) -> None:
    """A session without a tenant works too."""
    env = make_env(routes=_routes)
    nomad = _bearer(env, "nomad@example.org", None)

    assert (await (await _ada(env)).get("/optional")).json() == [True, True, "acme"]
    assert (await env.browser().get("/optional", authorization=nomad)).json() == [True, True, None]


async def test_optional_route_is_unauthenticated_with_an_invalid_token(make_env: EnvFactory) -> None:
    """The route is public anyway."""
    response = await make_env(routes=_routes).browser().get("/optional", authorization="Bearer x.y.z")

    assert response.json() == [False, False, None]


async def test_get_auth_session_works_without_dependencies(make_env: EnvFactory) -> None:
    """In middleware, templates and exception handlers."""
    env = make_env(routes=_routes)

    assert (await (await _ada(env)).get("/asked")).json() is True
    assert (await env.browser().get("/asked")).json() is False


async def test_roles_are_those_of_the_current_tenant(make_env: EnvFactory) -> None:
    """The user is an admin of one tenant and a viewer of the other."""
    env = make_env(routes=_routes)

    assert (await env.browser().get("/admins", authorization=_bearer(env))).status_code == 200
    globex = _bearer(env, tenant="globex")
    assert (await env.browser().get("/admins", authorization=globex)).status_code == 403


async def test_permissions_are_those_of_the_current_tenant(make_env: EnvFactory) -> None:
    """The error names the missing ones."""
    env = make_env(routes=_routes)

    assert (await env.browser().get("/readers", authorization=_bearer(env))).status_code == 200
    no_tenant = await env.browser().get("/readers", authorization=_bearer(env, "nomad@example.org", None))
    assert no_tenant.json()["code"] == "no_tenant"


def _any_of(app: FastAPI) -> None:
    for path, requirement in {
        "/a-role": require_any_role("owner", "admin"),
        "/no-role": require_any_role("owner", "auditor"),
        "/project-role": require_any_role("owner", "admin", project=True),
        "/a-permission": require_any_permission("reports.burn", "reports.read"),
        "/no-permission": require_any_permission("reports.burn", "reports.frame"),
        "/project-permission": require_any_permission("reports.read", project=True),
    }.items():
        app.get(path, dependencies=[Depends(requirement)])(_nothing)


async def _nothing() -> None: ...


@pytest.mark.parametrize(
    ("path", "code", "missing"),
    [
        ("/a-role", None, None),
        ("/no-role", "missing_roles", ["auditor", "owner"]),
        ("/project-role", "missing_roles", ["admin", "owner"]),
        ("/a-permission", None, None),
        ("/no-permission", "missing_permissions", ["reports.burn", "reports.frame"]),
        ("/project-permission", "missing_permissions", ["reports.read"]),
    ],
)
async def test_tn04_one_of_several_grants_is_enough(
    make_env: EnvFactory, path: str, code: str | None, missing: list[str] | None
) -> None:
    """Of the current tenant, unless those of the project are required. The 403 says that one is enough."""
    env = make_env(routes=_any_of)

    response = await env.browser().get(path, authorization=_bearer(env))

    if code is None:
        assert response.status_code == 200
    else:
        problem = response.json()
        assert (response.status_code, problem["code"], problem["missing"]) == (403, code, missing)
        assert problem["any_of"] is True


async def test_one_of_several_grants_needs_a_tenant(make_env: EnvFactory) -> None:
    """Without a current tenant there are no grants, and the error names the cause."""
    env = make_env(routes=_any_of)

    response = await env.browser().get("/a-role", authorization=_bearer(env, "nomad@example.org", None))

    assert (response.status_code, response.json()["code"]) == (403, "no_tenant")


async def test_tn04_project_roles_are_required_explicitly(make_env: EnvFactory) -> None:
    """A role in a tenant is no role in the project."""
    env = make_env(routes=_routes)

    response = await env.browser().get("/project-admins", authorization=_bearer(env))

    assert response.json()["missing"] == ["support"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/tenants/acme", None),
        ("/tenants/%61cme", None),
        ("/tenants/ACME", "tenant_mismatch"),
        ("/tenants/acme.", "tenant_mismatch"),
        ("/tenants/globex", "tenant_mismatch"),
        ("/tenants/acme%20", "tenant_mismatch"),
        ("/tenants/%2561cme", "tenant_mismatch"),
    ],
)
async def test_tn03_tenant_in_the_path_must_be_the_current_one(
    make_env: EnvFactory, path: str, code: str | None
) -> None:
    """The decoded path parameter is compared character by character."""
    env = make_env(routes=_routes)

    response = await env.browser().get(path, authorization=_bearer(env))

    assert response.status_code == (200 if code is None else 403)
    assert code is None or response.json()["code"] == code


async def test_route_without_the_path_parameter_is_a_500(make_env: EnvFactory) -> None:
    """The error names the parameter; to admit the request would be worse."""
    env = make_env(routes=_routes)

    response = await env.browser().get("/nowhere", authorization=_bearer(env))

    assert response.status_code == 500
    assert "org" in response.json()["detail"]


async def test_step_up_must_be_recent(make_env: EnvFactory) -> None:
    """The claim ``su`` alone is not enough."""
    env = make_env(routes=_routes)
    step_up = _bearer(env, step_up=True)

    plain = await env.browser().get("/fresh", authorization=_bearer(env))
    fresh = await env.browser().get("/fresh", authorization=step_up)
    env.emulator.clock.advance(301)
    stale = await env.browser().get("/fresh", authorization=step_up)

    assert [plain.status_code, fresh.status_code, stale.status_code] == [401, 200, 401]


async def test_second_factor_is_read_from_amr(make_env: EnvFactory) -> None:
    """The claim contains ``mfa``."""
    env = make_env(routes=_routes)

    weak = await env.browser().get("/strong", authorization=_bearer(env))
    strong = await env.browser().get("/strong", authorization=_bearer(env, amr=("fed", "mfa")))

    assert [weak.status_code, strong.status_code] == [401, 200]


def test_factory_called_twice_returns_the_same_object() -> None:
    """``app.dependency_overrides`` finds it; order and repetition do not matter."""
    assert require_roles("a", "b") is require_roles("b", "a", "a")
    assert require_permissions("p") is require_permissions("p")
    assert require_tenant() is require_tenant("tenant_id")
    assert require_step_up(max_age=1) is require_step_up(max_age=1)
    assert require_mfa() is require_mfa()
    assert deny_impersonated() is deny_impersonated()


def test_requirement_is_equal_only_to_itself() -> None:
    """FastAPI hashes it on every request, which must not read all fields."""
    assert Requirement(mfa=True) != Requirement(mfa=True)
    assert hash(require_mfa()) == object.__hash__(require_mfa())
    assert require_roles("a") is not require_roles("a", project=True)


def test_tn05_empty_requirement_is_rejected() -> None:
    """It would admit every user, so the factory raises."""
    for wrong in (require_roles, require_any_role, require_permissions, require_any_permission):
        with pytest.raises(ConfigurationError, match=wrong.__name__):
            wrong()
        with pytest.raises(ConfigurationError, match=wrong.__name__):
            wrong("")


class _Role(Enum):
    ADMIN = "admin"


class _TextRole(StrEnum):
    ADMIN = "admin"


@pytest.mark.parametrize("name", [_Role.ADMIN, ("admin", "viewer"), ["admin"], None, 7])
def test_tn05_name_must_be_a_string(name: object) -> None:
    """No user holds any other value, and the error response could not be written."""
    for wrong in (require_roles, require_any_role, require_permissions, require_any_permission):
        with pytest.raises(
            ConfigurationError, match=wrong.__name__ + r"\(\) takes names as separate str arguments"
        ):
            wrong("editor", name)  # type: ignore[arg-type] # the mistake


async def test_names_may_be_members_of_a_str_enum(make_env: EnvFactory) -> None:
    """The members are strings, and the requirement is the same."""
    env = make_env()
    assert require_roles(_TextRole.ADMIN) is require_roles("admin")

    @env.app.get("/project", dependencies=[Depends(require_roles(_TextRole.ADMIN, project=True))])
    async def project() -> None: ...

    response = await env.browser().get("/project", authorization=_bearer(env))
    assert (response.status_code, response.json()["missing"]) == (403, ["admin"])


@pytest.mark.parametrize(
    ("factory", "arguments"),
    [
        (require_mfa, ""),
        (require_step_up, ""),
        (require_tenant, "..."),
        (require_roles, "..."),
        (require_any_role, "..."),
        (require_permissions, "..."),
        (require_any_permission, "..."),
    ],
)
def test_tn05_factory_without_parentheses_is_rejected(
    factory: Callable[..., Requirement], arguments: str
) -> None:
    """The route would be open: FastAPI would call the factory and discard the requirement."""
    instead = re.escape(f"Use Depends({factory.__name__}({arguments})), with parentheses")
    for declared in (Depends(factory), Depends(partial(factory))):
        with pytest.raises(ConfigurationError, match=f"^{instead}"):
            FastAPI(dependencies=[declared]).get("/{path_param}")(lambda: None)


@pytest.mark.parametrize("dependency", [require_roles("admin"), current_user, optional_user])
def test_item_of_dependencies_without_depends_is_an_error_that_shows_it(dependency: object) -> None:
    """FastAPI alone raises an ``AttributeError`` that does not mention ``Depends``."""
    app = FastAPI()

    with pytest.raises(ConfigurationError, match=r"without Depends: write dependencies=\[Depends\("):
        app.get("/", dependencies=cast("list[params.Depends]", [dependency]))(lambda: None)


@pytest.mark.parametrize(
    ("kind", "instead"), [(User, "CurrentUser"), (Tenant, "CurrentTenant"), (AuthSession, "CurrentSession")]
)
def test_user_is_never_read_from_the_query(kind: type[object], instead: str) -> None:
    """With ``Annotated[User, Depends()]`` FastAPI would build a user from the query."""

    async def forgeable(value: object) -> None: ...

    forgeable.__annotations__["value"] = Annotated[kind, Depends()]
    with pytest.raises(ConfigurationError, match=instead):
        FastAPI().get("/")(forgeable)


async def test_user_is_never_read_from_the_body() -> None:
    """``user: User`` is an error, which says to write ``user: CurrentUser``, also without the middleware."""
    app = FastAPI()

    @app.post("/users")
    async def whoever(user: User) -> str:
        return user.id

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        response = await client.post(f"{APP}/users", json={"id": "admin"})

    assert response.status_code == 422
    assert "annotate it as `user: CurrentUser`" in response.text


async def test_dependencies_can_be_overridden_in_tests(make_env: EnvFactory) -> None:
    """FastAPI's usual way to test without tokens."""
    env = make_env()
    env.app.dependency_overrides[current_user] = lambda: User("U-test")

    @env.app.get("/who")
    async def who(user: CurrentUser) -> str:
        return user.id

    assert (await env.browser().get("/who")).json() == "U-test"


async def test_requirement_can_be_overridden_in_tests(make_env: EnvFactory) -> None:
    """The factory returns the same requirement again."""
    env = make_env()
    env.app.dependency_overrides[require_roles("owner")] = lambda: None

    @env.app.get("/ledger", dependencies=[Depends(require_roles("owner"))])
    async def ledger() -> str:
        return "open"

    assert (await env.browser().get("/ledger")).json() == "open"


async def test_values_can_be_returned_from_an_endpoint(make_env: EnvFactory) -> None:
    """The user, the tenant, the whole session and the claims."""
    env = make_env()

    @env.app.get("/values")
    async def values(session: CurrentSession) -> dict[str, object]:
        return {"user": session.user, "tenant": session.tenant, "all": session, "claims": session.claims}

    @env.app.get("/typed")
    async def typed(user: CurrentUser) -> User:
        return user

    loose = (await env.browser().get("/values", authorization=_bearer(env))).json()
    strict = (await env.browser().get("/typed", authorization=_bearer(env))).json()

    assert loose["tenant"]["roles"] == ["admin"]
    assert loose["all"]["tenants"]["globex"]["roles"] == ["viewer"]
    assert loose["claims"]["tenants"]["acme"]["roles"] == ["admin"]
    assert loose["user"]["id"] == strict["id"] == loose["claims"]["sub"]
    assert list(strict) == ["id", "roles", "permissions", "claims"]


@pytest.mark.filterwarnings("ignore:Default value")  # pydantic's, on any default factory
async def test_return_annotations_are_described_in_openapi(make_env: EnvFactory) -> None:
    """``-> User`` works like any model, and None is possible where it may occur."""
    env = make_env()

    @env.app.get("/anybody")
    async def anybody(user: OptionalUser) -> User | None:
        return user

    assert (await env.browser().get("/anybody")).json() is None
    document = (await env.browser().get("/openapi.json")).json()
    assert list(document["components"]["schemas"]["User"]["properties"])[:2] == ["id", "roles"]


async def test_missing_middleware_is_named_in_the_error() -> None:
    """The message says what to write."""
    app = FastAPI()
    _routes(app)
    scope: Scope = {"type": "http", "method": "GET", "path": "/asked", "headers": [], "query_string": b""}

    with pytest.raises(ConfigurationError, match="add_middleware"):
        await get_auth_session(Request(scope))


async def test_websocket_routes_accept_the_same_dependencies(make_env: EnvFactory) -> None:
    """The signature is the same, so FastAPI accepts it."""
    env = make_env()

    @env.app.websocket("/ws")
    async def ws(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        await socket.send_text(user.id)

    assert any(getattr(route, "path", "") == "/ws" for route in env.app.routes)
