"""What endpoints ask for: present, optional, and demanded (TN-03, TN-04, TN-05)."""

from collections.abc import Callable
from enum import Enum, StrEnum
from functools import partial
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, WebSocket
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
    get_auth_session,
    require_mfa,
    require_permissions,
    require_roles,
    require_step_up,
    require_tenant,
)
from fastapi_descope._web.dependencies import Requirement
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


async def test_the_aliases_give_session_user_and_tenant(make_env: EnvFactory) -> None:
    """Three questions, one look-up: they agree."""
    assert (await (await _ada(make_env(routes=_routes))).get("/current")).json() == [True, "acme"]


async def test_the_optional_aliases_give_none_to_nobody(make_env: EnvFactory) -> None:
    """An anonymous caller is no error where the route says so."""
    assert (await make_env(routes=_routes).browser().get("/optional")).json() == [False, False, None]


async def test_the_optional_aliases_give_what_is_there(make_env: EnvFactory) -> None:
    """Also without a tenant."""
    env = make_env(routes=_routes)
    nomad = _bearer(env, "nomad@example.org", None)

    assert (await (await _ada(env)).get("/optional")).json() == [True, True, "acme"]
    assert (await env.browser().get("/optional", authorization=nomad)).json() == [True, True, None]


async def test_an_optional_route_runs_as_nobody_with_a_bad_token(make_env: EnvFactory) -> None:
    """A broken bearer is not signed in; the route was open anyway."""
    response = await make_env(routes=_routes).browser().get("/optional", authorization="Bearer x.y.z")

    assert response.json() == [False, False, None]


async def test_get_session_asks_where_no_dependency_fits(make_env: EnvFactory) -> None:
    """In middleware, templates, exception handlers."""
    env = make_env(routes=_routes)

    assert (await (await _ada(env)).get("/asked")).json() is True
    assert (await env.browser().get("/asked")).json() is False


async def test_roles_are_those_of_the_current_tenant(make_env: EnvFactory) -> None:
    """Ada is an admin of one tenant and a viewer of the other."""
    env = make_env(routes=_routes)

    assert (await env.browser().get("/admins", authorization=_bearer(env))).status_code == 200
    globex = _bearer(env, tenant="globex")
    assert (await env.browser().get("/admins", authorization=globex)).status_code == 403


async def test_permissions_are_those_of_the_current_tenant(make_env: EnvFactory) -> None:
    """A demand is met or named."""
    env = make_env(routes=_routes)

    assert (await env.browser().get("/readers", authorization=_bearer(env))).status_code == 200
    nobody = await env.browser().get("/readers", authorization=_bearer(env, "nomad@example.org", None))
    assert nobody.json()["code"] == "no_tenant"


async def test_tn04_project_roles_are_asked_for_by_name(make_env: EnvFactory) -> None:
    """A tenant's role is none in the project."""
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
async def test_tn03_the_tenant_in_the_path_is_the_current_one(
    make_env: EnvFactory, path: str, code: str | None
) -> None:
    """Compared as the router decoded it, character by character."""
    env = make_env(routes=_routes)

    response = await env.browser().get(path, authorization=_bearer(env))

    assert response.status_code == (200 if code is None else 403)
    assert code is None or response.json()["code"] == code


async def test_a_route_without_the_parameter_is_a_mistake_of_the_app(make_env: EnvFactory) -> None:
    """500 that names the parameter: letting the request in would be worse."""
    env = make_env(routes=_routes)

    response = await env.browser().get("/nowhere", authorization=_bearer(env))

    assert response.status_code == 500
    assert "org" in response.json()["detail"]


async def test_a_step_up_must_be_there_and_recent(make_env: EnvFactory) -> None:
    """``su`` alone does not last."""
    env = make_env(routes=_routes)
    step_up = _bearer(env, su=True)

    plain = await env.browser().get("/fresh", authorization=_bearer(env))
    fresh = await env.browser().get("/fresh", authorization=step_up)
    env.emulator.clock.advance(301)
    stale = await env.browser().get("/fresh", authorization=step_up)

    assert [plain.status_code, fresh.status_code, stale.status_code] == [401, 200, 401]


async def test_a_second_factor_is_seen_in_amr(make_env: EnvFactory) -> None:
    """``mfa`` among the methods."""
    env = make_env(routes=_routes)

    weak = await env.browser().get("/strong", authorization=_bearer(env))
    strong = await env.browser().get("/strong", authorization=_bearer(env, amr=("fed", "mfa")))

    assert [weak.status_code, strong.status_code] == [401, 200]


def test_a_factory_called_twice_gives_the_same_object() -> None:
    """So ``app.dependency_overrides`` finds it; order and repetition do not matter."""
    assert require_roles("a", "b") is require_roles("b", "a", "a")
    assert require_permissions("p") is require_permissions("p")
    assert require_tenant() is require_tenant("tenant_id")
    assert require_step_up(max_age=1) is require_step_up(max_age=1)
    assert require_mfa() is require_mfa()


def test_a_demand_is_equal_to_itself_alone() -> None:
    """FastAPI looks it up by hash on every request, which must not read its fields each time."""
    assert Requirement(mfa=True) != Requirement(mfa=True)
    assert hash(require_mfa()) == object.__hash__(require_mfa())
    assert require_roles("a") is not require_roles("a", project=True)


def test_tn05_an_empty_demand_is_a_mistake() -> None:
    """It would let everybody in, so it fails where it is written."""
    for wrong in (require_roles, require_permissions):
        with pytest.raises(ConfigurationError, match=wrong.__name__):
            wrong()
        with pytest.raises(ConfigurationError, match=wrong.__name__):
            wrong("")


class _Role(Enum):
    ADMIN = "admin"


class _TextRole(StrEnum):
    ADMIN = "admin"


@pytest.mark.parametrize("name", [_Role.ADMIN, ("admin", "viewer"), ["admin"], None, 7])
def test_tn05_a_name_is_a_text(name: object) -> None:
    """Of anything else the user holds none, and the answer that says so could not be written."""
    for wrong in (require_roles, require_permissions):
        with pytest.raises(
            ConfigurationError, match=wrong.__name__ + r"\(\) takes names as separate str arguments"
        ):
            wrong("editor", name)  # type: ignore[arg-type] # the mistake


async def test_names_from_an_enumeration_of_texts(make_env: EnvFactory) -> None:
    """Its members are texts, and the same demand."""
    env = make_env()
    assert require_roles(_TextRole.ADMIN) is require_roles("admin")

    @env.app.get("/project", dependencies=[Depends(require_roles(_TextRole.ADMIN, project=True))])
    async def project() -> None: ...

    response = await env.browser().get("/project", authorization=_bearer(env))
    assert (response.status_code, response.json()["missing"]) == (403, ["admin"])


@pytest.mark.parametrize(
    "factory", [require_mfa, require_step_up, require_tenant, require_roles, require_permissions]
)
def test_tn05_a_factory_without_its_parentheses_is_a_mistake(factory: Callable[..., Requirement]) -> None:
    """The route would be open: FastAPI would call the factory and throw away the demand."""
    for declared in (Depends(factory), Depends(partial(factory))):
        with pytest.raises(
            ConfigurationError, match=rf"^Use Depends\({factory.__name__}\(\)\), with parentheses"
        ):
            FastAPI(dependencies=[declared]).get("/{path_param}")(lambda: None)


@pytest.mark.parametrize(
    ("kind", "instead"), [(User, "CurrentUser"), (Tenant, "CurrentTenant"), (AuthSession, "CurrentSession")]
)
def test_nobody_is_who_the_query_says(kind: type[object], instead: str) -> None:
    """``Annotated[User, Depends()]`` would have FastAPI make a user of the query."""

    async def forgeable(value: object) -> None: ...

    forgeable.__annotations__["value"] = Annotated[kind, Depends()]
    with pytest.raises(ConfigurationError, match=instead):
        FastAPI().get("/")(forgeable)


async def test_nobody_is_who_the_body_says(make_env: EnvFactory) -> None:
    """``user: User``, meant as ``user: CurrentUser``: whoever calls reads what is wrong, and is nobody."""
    env = make_env()

    @env.app.post("/whoever")
    async def whoever(user: User) -> str:
        return user.id

    response = await env.browser().http.post(f"{APP}/whoever", json={"id": "admin"})

    assert response.status_code == 422
    assert "annotate it as `user: CurrentUser`" in response.text


async def test_dependencies_can_be_overridden_in_tests(make_env: EnvFactory) -> None:
    """The usual FastAPI way, for those who test without tokens."""
    env = make_env()
    env.app.dependency_overrides[current_user] = lambda: User("U-test")

    @env.app.get("/who")
    async def who(user: CurrentUser) -> str:
        return user.id

    assert (await env.browser().get("/who")).json() == "U-test"


async def test_a_demand_can_be_overridden_in_tests(make_env: EnvFactory) -> None:
    """By asking the factory for it once more."""
    env = make_env()
    env.app.dependency_overrides[require_roles("owner")] = lambda: None

    @env.app.get("/ledger", dependencies=[Depends(require_roles("owner"))])
    async def ledger() -> str:
        return "open"

    assert (await env.browser().get("/ledger")).json() == "open"


async def test_values_can_be_returned_from_an_endpoint(make_env: EnvFactory) -> None:
    """A newcomer's first try: the user, the tenant, the whole session, the claims."""
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
async def test_values_in_answers_are_described(make_env: EnvFactory) -> None:
    """``-> User`` is as good as any model for OpenAPI, and None where it may be."""
    env = make_env()

    @env.app.get("/anybody")
    async def anybody(user: OptionalUser) -> User | None:
        return user

    assert (await env.browser().get("/anybody")).json() is None
    document = (await env.browser().get("/openapi.json")).json()
    assert list(document["components"]["schemas"]["User"]["properties"])[:2] == ["id", "roles"]


async def test_without_the_middleware_the_mistake_is_named() -> None:
    """The message says what to write."""
    app = FastAPI()
    _routes(app)
    scope: Scope = {"type": "http", "method": "GET", "path": "/asked", "headers": [], "query_string": b""}

    with pytest.raises(ConfigurationError, match="add_middleware"):
        await get_auth_session(Request(scope))


async def test_websocket_routes_take_the_same_dependencies(make_env: EnvFactory) -> None:
    """The signature is the same, so FastAPI accepts it."""
    env = make_env()

    @env.app.websocket("/ws")
    async def ws(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        await socket.send_text(user.id)

    assert any(getattr(route, "path", "") == "/ws" for route in env.app.routes)
