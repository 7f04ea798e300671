"""``current_claims``: the claims of a session as a model of the app, as a dependency."""

import logging
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, WebSocket
from pydantic import BaseModel, ConfigDict
from starlette.responses import PlainTextResponse

from fastapi_descope import ClaimsInvalid, ConfigurationError, CurrentSession, Forbidden, current_claims
from fastapi_descope._web.routes.table import RouteTable
from fastapi_descope.events import ClaimsRejected
from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio


class Claims(BaseModel):
    """The claims of the emulator's users that this app needs."""

    model_config = ConfigDict(frozen=True)
    sub: str
    email: str


class Subscription(BaseModel):
    """Claims that they do not have."""

    plan: str
    email: int


AppClaims = Annotated[Claims, Depends(current_claims(Claims))]


def _routes(app: FastAPI) -> None:
    app.state.seen = []

    @app.get("/claims")
    async def coroutine(claims: AppClaims) -> str:
        app.state.seen.append(claims)
        return claims.email

    @app.get("/in-thread")
    def thread(claims: AppClaims, session: CurrentSession) -> bool:
        return claims is session.claims_as(Claims)

    @app.get("/subscription")
    async def subscription(claims: Annotated[Subscription, Depends(current_claims(Subscription))]) -> str:
        return claims.plan

    @app.websocket("/ws")
    async def ws(socket: WebSocket, claims: AppClaims) -> None:
        await socket.accept()
        await socket.send_text(claims.email)


def _bearer(env: AppHarness) -> str:
    return f"Bearer {env.emulator.issue('ada@acme.example', tenant='acme').session_jwt}"


async def test_handler_gets_the_claims_as_a_model(make_env: EnvFactory) -> None:
    """In coroutines and threads. Requests with one token share the model."""
    env = make_env(routes=_routes)
    bearer = _bearer(env)

    for _ in range(2):
        assert (await env.browser().get("/claims", authorization=bearer)).json() == "ada@acme.example"
    assert (await env.browser().get("/in-thread", authorization=bearer)).json() is True
    assert env.app.state.seen[0] is env.app.state.seen[1]


async def test_unauthenticated_request_gets_401(make_env: EnvFactory) -> None:
    """As from any dependency that requires a session."""
    assert (await make_env(routes=_routes).browser().get("/claims")).status_code == 401


async def test_claims_that_do_not_fit_get_403_without_details(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """The session stays. Model and fields are in an event and in the log, and no value is anywhere."""
    env = make_env(routes=_routes)
    browser = await env.signed_in_browser()
    env.events.clear()

    responses = [await browser.get("/subscription") for _ in range(2)]
    page = await browser.visit("/subscription")

    for response in responses:
        assert (response.status_code, response.json()["code"]) == (403, "claims_invalid")
        assert response.json() == {
            "type": "https://fastapi-descope.readthedocs.io/errors/claims_invalid/",
            "title": "Your account is not set up for this",
            "status": 403,
            "code": "claims_invalid",
            "detail": "Your account is not set up for this",
        }
        assert "set-cookie" not in response.headers
    assert (page.status_code, "Your account is not set up for this" in page.text) == (403, True)
    assert env.events == [ClaimsRejected("Subscription", ("email", "plan"))] * 3
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len([each for each in warnings if "do not fit Subscription: email, plan." in each]) == 1
    assert "ada@acme.example" not in page.text + caplog.text + responses[0].text


async def test_app_may_handle_the_error_itself(make_env: EnvFactory) -> None:
    """It is a ``Forbidden`` with the names of the fields."""
    env = make_env(routes=_routes)
    caught: list[Forbidden] = []

    @env.app.exception_handler(Forbidden)
    async def handler(request: object, error: Forbidden) -> PlainTextResponse:
        caught.append(error)
        return PlainTextResponse("no", 403)

    response = await env.browser().get("/subscription", authorization=_bearer(env))

    (error,) = caught
    assert response.text == "no"
    assert isinstance(error, ClaimsInvalid)
    assert error.fields == ("email", "plan")


async def test_claims_follow_a_refresh(make_env: EnvFactory) -> None:
    """A new token has new claims: a user who is upgraded has them after the next refresh."""
    env = make_env(routes=_routes)
    browser = await env.signed_in_browser()
    await browser.get("/claims")
    env.emulator.clock.advance(660)
    await browser.get("/claims")

    first, second = env.app.state.seen
    assert first == second
    assert first is not second


async def test_websocket_gets_the_claims_too(make_env: EnvFactory) -> None:
    """The signature is the same."""
    env = make_env(routes=_routes)
    socket = WebSocketClient(env.app, [(b"authorization", _bearer(env).encode())])

    assert (await socket.open())["type"] == "websocket.accept"
    assert (await socket.next())["text"] == "ada@acme.example"
    await socket.wait()


async def test_dependency_can_be_overridden_in_tests(make_env: EnvFactory) -> None:
    """The factory returns the same object for the same model."""
    env = make_env(routes=_routes)
    env.app.dependency_overrides[current_claims(Claims)] = lambda: Claims(sub="U", email="test@acme.example")

    assert (await env.browser().get("/claims")).json() == "test@acme.example"


def test_dependency_without_parentheses_is_rejected() -> None:
    """FastAPI would read the model from the request."""
    with pytest.raises(ConfigurationError, match=r"^Use Depends\(current_claims\(\.\.\.\)\), with"):
        FastAPI().get("/", dependencies=[Depends(current_claims)])(lambda: None)


def test_route_table_names_the_model() -> None:
    """A route that needs certain claims is not open to every user."""
    app = FastAPI(openapi_url=None)
    _routes(app)

    assert {row.path: row.access for row in RouteTable(app).rows} == {
        "/claims": "claims Claims",
        "/in-thread": "claims Claims",
        "/subscription": "claims Subscription",
        "/ws": "claims Claims",
    }


def test_route_documents_that_it_needs_a_session(make_env: EnvFactory) -> None:
    """The claims are no parameters of the request."""
    operation = make_env(routes=_routes).app.openapi()["paths"]["/claims"]["get"]

    assert {"DescopeSession": []} in operation["security"]
    assert {"401", "403", "503"} <= operation["responses"].keys()
    assert {"requestBody", "parameters"}.isdisjoint(operation)
