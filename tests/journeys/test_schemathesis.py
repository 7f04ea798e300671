"""Whatever an API description allows to be sent, and much that it does not: no answer is a 500.

Schemathesis makes the requests out of the OpenAPI documents of the example app and of an app that uses
every dependency there is.
"""

# Schemathesis is typed in part.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest
import schemathesis
from fastapi import Depends, FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok

from example_app.tests.app_env import ADA, build_app, build_emulator
from fastapi_descope import (
    CurrentSession,
    CurrentTenant,
    CurrentUser,
    OptionalSession,
    OptionalTenant,
    OptionalUser,
    require_mfa,
    require_permissions,
    require_roles,
    require_step_up,
    require_tenant,
)
from fastapi_descope.emulator import Emulator
from tests.helpers.app_harness import build_app_harness

_EXAMPLES = 8
_BODIES = ("application/json", "application/x-www-form-urlencoded")
_OWN_ROUTES = ("/login/sso", "/callback", "/logout", "/logout/all", "/tenant/select", "/session")

# What the route reads is not in the document, as it takes a form or JSON by itself.
_CHOICE = {
    "type": "object",
    "properties": {"tenant": {"type": "string"}, "return_to": {"type": "string"}},
    "required": ["tenant"],
}


Operation = schemathesis.APIOperation[Any, Any, Any, Any]
Case = schemathesis.Case[Any]


class Sent(TypedDict, total=False):
    """What goes with a request."""

    headers: dict[str, str]
    cookies: dict[str, str]


Caller = Callable[[Emulator], Sent]
Build = Callable[[], "Described"]


@dataclass(frozen=True)
class Described:
    """An app, its Descope, and what the app's document allows."""

    emulator: Emulator
    schema: schemathesis.BaseSchema

    @classmethod
    def of(cls, app: FastAPI, emulator: Emulator) -> "Described":
        """The app with its own document."""
        document = app.openapi()
        content = {kind: {"schema": _CHOICE} for kind in _BODIES}
        document["paths"]["/tenant/select"]["post"].setdefault("requestBody", {"content": content})
        schema = schemathesis.openapi.from_dict(document)
        schema.app = app
        return cls(emulator, schema)

    def worst_answers(self, caller: Caller) -> dict[tuple[str, str], int]:
        """The highest status that each operation, by path and method, answered with."""
        operations = [found.ok() for found in self.schema.get_all_operations() if isinstance(found, Ok)]
        return {(each.path, each.method): self._worst_answer(each, caller) for each in operations}

    def _worst_answer(self, operation: Operation, caller: Caller) -> int:
        statuses: list[int] = []

        @settings(
            max_examples=_EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
        )
        @given(operation.as_strategy())
        def ask(case: Case) -> None:
            response = case.call(allow_redirects=False, **caller(self.emulator))
            statuses.append(response.status_code)

        ask()
        return max(statuses)


def _example_app() -> Described:
    emulator = build_emulator()
    return Described.of(build_app(emulator), emulator)


def _guarded(app: FastAPI) -> None:
    for number, guard in enumerate(
        (
            require_roles("admin"),
            require_roles("admin", project=True),
            require_permissions("reports.write"),
            require_mfa(),
            require_step_up(),
            require_step_up(max_age=60),
        )
    ):
        app.add_api_route(f"/guarded/{number}", _yes, dependencies=[Depends(guard)])
    app.add_api_route("/of/{tenant}", _yes, dependencies=[Depends(require_tenant("tenant"))])

    @app.post("/asking/{number}")
    async def asking(
        number: int, body: dict[str, str], user: CurrentUser, tenant: CurrentTenant, session: CurrentSession
    ) -> list[object]:
        return [number, body, user.id, tenant.id, session.expires_at]

    @app.get("/wondering")
    async def wondering(user: OptionalUser, tenant: OptionalTenant, session: OptionalSession) -> list[bool]:
        return [value is None for value in (user, tenant, session)]


async def _yes() -> str:
    return "yes"


def _every_dependency() -> Described:
    env = build_app_harness(routes=_guarded)
    return Described.of(env.app, env.emulator)


def _nobody(_: Emulator) -> Sent:
    return {}


def _bearer(emulator: Emulator) -> Sent:
    return {"headers": {"Authorization": f"Bearer {emulator.issue(ADA, 'acme').session_jwt}"}}


def _cookies(emulator: Emulator) -> Sent:
    pair = emulator.issue(ADA, "acme")
    return {"cookies": {"DS": pair.session_jwt, "DSR": pair.refresh_jwt}}


def _dead_session(emulator: Emulator) -> Sent:
    pair = emulator.issue(ADA, "acme", session_seconds=-60)
    return {"cookies": {"DS": pair.session_jwt, "DSR": pair.refresh_jwt}}


both_apps = pytest.mark.parametrize("build", [_example_app, _every_dependency])
all_callers = pytest.mark.parametrize("caller", [_nobody, _bearer, _cookies, _dead_session])


@all_callers
@both_apps
def test_no_request_makes_an_app_fail(build: Build, caller: Caller) -> None:
    """Every operation of both documents, for strangers and for users: never a 5xx."""
    described = build()

    tried = described.worst_answers(caller)

    assert set(_OWN_ROUTES) <= {path for path, _ in tried}
    assert {operation: status for operation, status in tried.items() if status >= 500} == {}


@all_callers
@both_apps
def test_no_request_makes_an_app_fail_while_descope_does(build: Build, caller: Caller) -> None:
    """With every call to Descope answered by a 500, what cannot be done is a 503, and nothing is worse."""
    described = build()
    described.emulator.faults.add("*", times=1_000_000, status=500)

    tried = described.worst_answers(caller)

    assert {status for status in tried.values() if status >= 500} <= {503}
    assert tried["/login/sso", "get"] in (400, 503)
