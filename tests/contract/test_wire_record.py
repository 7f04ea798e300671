"""The record itself: its sources, its completeness, and the checks of its shapes."""

from copy import deepcopy
from typing import Any, cast

import pytest
from starlette.routing import Match, Route

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator
from tests.contract.contract_setup import SITUATIONS
from tests.contract.wire_record import exchanges, fill_placeholders, pages, sdks, shapes, tokens
from tests.contract.wire_shapes import shape_errors, values_at

SDKS = {"PY", "NODE", "JS", "GO", "NET", "JAVA", "SWIFT", "KT"}
SOURCES = SDKS | {"TF", "DJ", "FA", "ML", "AI", "D", "SEED", "3P"}
NOT_DESCOPES = {
    "signin",
    "consent",
    "oidc_authorize",
    "oidc_token",
    "oidc_userinfo",
    "oidc_revoke",
    "oidc_logout",
    "inbound_discovery",
    "inbound_authorize",
    "inbound_token",
    "inbound_userinfo",
    "inbound_revoke",
    "inbound_register",
}
"""Endpoints without a record: the pages, and those that OAuth and OpenID Connect specify."""

Json = dict[str, Any]


def test_every_entry_names_its_sources() -> None:
    """By the keys of the wire contract. Requests are attributed to an SDK or to us."""
    sources = [exchange.response.source for exchange in exchanges().values()]
    sources += [token.source for token in tokens().values()]
    sources += [field.source for shape in shapes().values() for field in shape.fields.values()]
    assert {key for source in sources for key in source.split()} <= SOURCES
    assert {sent.by for exchange in exchanges().values() for sent in exchange.requests} <= sdks().keys()


def test_fields_are_needed_by_known_clients() -> None:
    """``needed_by`` names SDKs or third parties."""
    needed_by = [field.needed_by or "" for shape in shapes().values() for field in shape.fields.values()]
    assert {key for keys in needed_by for key in keys.split()} <= SDKS | {"3P"}


def test_every_situation_is_defined_and_used() -> None:
    """No situation of the record is missing, and none is unused."""
    assert {exchange.given for exchange in exchanges().values()} == SITUATIONS.keys()


def test_the_emulator_has_no_endpoint_that_the_record_does_not_know() -> None:
    """Every endpoint of the emulator is called by an exchange."""
    known = {"project": DEFAULT_PROJECT_ID}
    calls = {
        str(fill_placeholders(sent.call, known)) for each in exchanges().values() for sent in each.requests
    }
    uncalled = [
        f"{method} {route.path}"
        for route in cast("list[Route]", vars(vars(Emulator())["_app"])["_routes"])
        for method in sorted(route.methods or ())
        if route.name not in NOT_DESCOPES and method != "HEAD" and not _is_called(route, method, calls)
    ]
    assert uncalled == []


def _is_called(route: Route, method: str, calls: set[str]) -> bool:
    scopes = (
        {"type": "http", "method": call.split()[0], "path": call.split()[1], "root_path": ""}
        for call in calls
        if call.split()[0] == method
    )
    return any(route.matches(scope)[0] is Match.FULL for scope in scopes)


def _requested(endpoint: str) -> set[str]:
    """Return the fields of all recorded requests to an endpoint, in the notation of the pages."""
    found: set[str] = set()
    for sent in (each for exchange in exchanges().values() for each in exchange.requests):
        if sent.call == endpoint:
            found |= {f"query.{name}" for name in sent.query} | {f"body.{name}" for name in sent.body or {}}
            project, _, refresh = (sent.bearer or "").partition(":")
            found |= {"bearer.project_id"} if project == "{project}" else set()
            found |= {"bearer.refresh_jwt"} if refresh == "{refresh}" else set()
    return found


@pytest.mark.parametrize(
    ("page", "endpoint"), [(page, endpoint) for page, endpoints in pages().items() for endpoint in endpoints]
)
def test_every_request_field_of_the_pages_is_recorded(page: str, endpoint: str) -> None:
    """A recorded request to the endpoint has it."""
    assert set(pages()[page][endpoint].request) - _requested(endpoint) == set()


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("user.name", ["Ada"]),
        ("user.email", []),
        ("user.test", []),
        ("user.tenants[].id", ["acme", "globex"]),
        ("user.tenants[].name", ["Globex"]),
        ("user.tenants", [[{"id": "acme"}, {"id": "globex", "name": "Globex"}]]),
        ("idp.groups", []),
        ("none[].id", []),
    ],
)
def test_values_at_a_path(path: str, values: list[object]) -> None:
    """Values of every member of a list, without empty ones."""
    tenants = [{"id": "acme"}, {"id": "globex", "name": "Globex"}]
    body = {"user": {"name": "Ada", "email": "", "test": False, "tenants": tenants}, "idp": None}
    assert values_at(body, path) == values


def _at(body: Json, path: str) -> tuple[Any, str]:
    """Return the container of the last part of a dotted path, and that part."""
    *parents, name = path.split(".")
    container: Any = body
    for parent in parents:
        container = container[int(parent) if parent.isdigit() else parent]
    return container, name


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("firstSeen", ..., ["$.firstSeen: missing, PY need it"]),
        ("cookieDomain", ..., []),
        ("retryable", False, ["$.retryable: not in the record"]),
        ("sessionExpiration", "1685932645", ["$.sessionExpiration: not int: '1685932645'"]),
        ("sessionExpiration", True, ["$.sessionExpiration: not int: True"]),
        ("user", None, []),
        ("user", [], ["$.user: not an object"]),
        ("user.roles", ["admin"], ["$.user.roles: not in the record"]),
        ("user.roleNames", "admin", ["$.user.roleNames: not a list"]),
        ("user.OAuth.google", "yes", ["$.user.OAuth.google: not bool: 'yes'"]),
        ("user.OAuth", [], ["$.user.OAuth: not an object"]),
        ("user.userTenants.0.tenantId", ..., ["$.user.userTenants[0].tenantId: missing, PY GO need it"]),
    ],
)
def test_shape_errors_are_found(path: str, value: object, expected: list[str]) -> None:
    """An unknown field, a missing field, and a field of the wrong type, at any depth."""
    body = deepcopy(cast("Json", exchanges()["exchange"].response.body))
    assert shape_errors("JWTResponse", body, shapes()) == []
    container, name = _at(body, path)
    if value is ...:
        del container[name]
    else:
        container[name] = value
    assert shape_errors("JWTResponse", body, shapes()) == expected


@pytest.mark.parametrize(
    ("type_name", "good", "bad"),
    [
        ("rfc3339", "2023-07-03T02:27:25Z", "2023-07-03 02:27:25"),
        ("rfc3339", "2023-07-03T02:27:25Z", 1688351245),
        ("url", "https://api.descope.com/sso", "/sso"),
        ("jwt", "a.b.c", "a.b"),
        ("error_code", "E061005", "E6105"),
        ("true", True, False),
        ("string|[string]", ["a"], [1]),
    ],
)
def test_a_type_accepts_only_its_values(type_name: str, good: object, bad: object) -> None:
    """A nearly right value is an error."""
    assert shape_errors(type_name, good, shapes()) == []
    assert shape_errors(type_name, bad, shapes()) != []
