"""Requests generated from API descriptions, valid and invalid: no response is a 500.

Schemathesis generates them from the OpenAPI documents of the example app and of an app that uses every
dependency.
"""

# Schemathesis is partially typed.
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
from tests.helpers.app_harness import APP, build_app_harness

_EXAMPLES = 8
_BODIES = ("application/json", "application/x-www-form-urlencoded")
_PLUGIN_ROUTES = ("/login/sso", "/callback", "/logout", "/logout/all", "/tenant/select", "/session")

# The document does not describe this body: the route parses a form or JSON itself.
_SELECT_TENANT_BODY = {
    "type": "object",
    "properties": {"tenant": {"type": "string"}, "return_to": {"type": "string"}},
    "required": ["tenant"],
}


Operation = schemathesis.APIOperation[Any, Any, Any, Any]
Case = schemathesis.Case[Any]


class CallerCredentials(TypedDict, total=False):
    """The headers and cookies of a request."""

    headers: dict[str, str]
    cookies: dict[str, str]


Caller = Callable[[Emulator], CallerCredentials]
Build = Callable[[], "DescribedApp"]


@dataclass(frozen=True)
class DescribedApp:
    """An app, its emulator, and its OpenAPI schema."""

    emulator: Emulator
    schema: schemathesis.BaseSchema

    @classmethod
    def from_app(cls, app: FastAPI, emulator: Emulator) -> "DescribedApp":
        """Return the app with its own OpenAPI document."""
        document = app.openapi()
        content = {kind: {"schema": _SELECT_TENANT_BODY} for kind in _BODIES}
        document["paths"]["/tenant/select"]["post"].setdefault("requestBody", {"content": content})
        schema = schemathesis.openapi.from_dict(document)
        schema.app = app
        return cls(emulator, schema)

    def highest_statuses(self, caller: Caller) -> dict[tuple[str, str], int]:
        """Return the highest status of each operation, by path and method."""
        operations = [found.ok() for found in self.schema.get_all_operations() if isinstance(found, Ok)]
        return {(each.path, each.method): self._highest_status(each, caller) for each in operations}

    def _highest_status(self, operation: Operation, caller: Caller) -> int:
        statuses: list[int] = []

        @settings(
            max_examples=_EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
        )
        @given(operation.as_strategy())
        def send(case: Case) -> None:
            response = case.call(base_url=APP, allow_redirects=False, **caller(self.emulator))
            statuses.append(response.status_code)

        send()
        return max(statuses)


def _example_app() -> DescribedApp:
    emulator = build_emulator()
    return DescribedApp.from_app(build_app(emulator), emulator)


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
        app.add_api_route(f"/guarded/{number}", _ok, dependencies=[Depends(guard)])
    app.add_api_route("/of/{tenant}", _ok, dependencies=[Depends(require_tenant("tenant"))])

    @app.post("/required/{number}")
    async def required(
        number: int, body: dict[str, str], user: CurrentUser, tenant: CurrentTenant, session: CurrentSession
    ) -> list[object]:
        return [number, body, user.id, tenant.id, session.expires_at]

    @app.get("/optional")
    async def optional(user: OptionalUser, tenant: OptionalTenant, session: OptionalSession) -> list[bool]:
        return [value is None for value in (user, tenant, session)]


async def _ok() -> str:
    return "ok"


def _every_dependency() -> DescribedApp:
    env = build_app_harness(routes=_guarded)
    return DescribedApp.from_app(env.app, env.emulator)


def _anonymous(_: Emulator) -> CallerCredentials:
    return {}


def _bearer(emulator: Emulator) -> CallerCredentials:
    return {"headers": {"Authorization": f"Bearer {emulator.issue(ADA, 'acme').session_jwt}"}}


def _cookies(emulator: Emulator) -> CallerCredentials:
    pair = emulator.issue(ADA, "acme")
    return {"cookies": {"DS": pair.session_jwt, "DSR": pair.refresh_jwt}}


def _expired_session(emulator: Emulator) -> CallerCredentials:
    pair = emulator.issue(ADA, "acme", session_seconds=-60)
    return {"cookies": {"DS": pair.session_jwt, "DSR": pair.refresh_jwt}}


both_apps = pytest.mark.parametrize("build", [_example_app, _every_dependency])
all_callers = pytest.mark.parametrize("caller", [_anonymous, _bearer, _cookies, _expired_session])


@all_callers
@both_apps
def test_no_request_causes_a_server_error(build: Build, caller: Caller) -> None:
    """Every operation of both documents, with and without credentials: never a 5xx."""
    app = build()

    statuses = app.highest_statuses(caller)

    assert set(_PLUGIN_ROUTES) <= {path for path, _ in statuses}
    assert {operation: status for operation, status in statuses.items() if status >= 500} == {}


@all_callers
@both_apps
def test_no_request_causes_a_500_during_an_outage(build: Build, caller: Caller) -> None:
    """While every call to Descope fails with a 500, the only server error is a 503."""
    app = build()
    app.emulator.faults.add("*", times=1_000_000, status=500)

    statuses = app.highest_statuses(caller)

    assert {status for status in statuses.values() if status >= 500} <= {503}
    assert statuses["/login/sso", "get"] in (400, 503)
