"""The record itself: it says where each entry comes from, it is complete, and its shapes notice mistakes."""

from copy import deepcopy
from typing import Any, cast

import pytest
from starlette.routing import Match, Route

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator
from tests.contract.contract_setup import SITUATIONS
from tests.contract.wire_record import exchanges, filled, sdks, shapes, tokens
from tests.contract.wire_shapes import complaints

SDKS = {"PY", "NODE", "JS", "GO", "NET", "JAVA", "SWIFT", "KT"}
SOURCES = SDKS | {"TF", "DJ", "FA", "ML", "AI", "D", "SEED", "3P"}
OURS = {"signin", "oidc_authorize", "oidc_token", "oidc_userinfo", "oidc_revoke", "oidc_logout"}
"""Endpoints that are not Descope's own: the sign-in page, and those that OAuth's and OpenID's texts rule."""

Json = dict[str, Any]


def test_every_entry_names_its_sources() -> None:
    """By the keys of the wire contract; only requests that nobody sends are our own."""
    named = [exchange.answer.source for exchange in exchanges().values()]
    named += [token.source for token in tokens().values()]
    named += [field.source for shape in shapes().values() for field in shape.fields.values()]
    assert {key for source in named for key in source.split()} <= SOURCES
    assert {sent.by for exchange in exchanges().values() for sent in exchange.sends} <= sdks().keys()


def test_who_needs_a_field_is_known() -> None:
    """It is clients that break without it."""
    needed = [field.needed_by or "" for shape in shapes().values() for field in shape.fields.values()]
    assert {key for keys in needed for key in keys.split()} <= SDKS | {"3P"}


def test_every_situation_is_used_and_known() -> None:
    """What the record asks for can be had, and nothing lies about."""
    assert {exchange.given for exchange in exchanges().values()} == SITUATIONS.keys()


def test_the_emulator_has_no_endpoint_that_the_record_does_not_know() -> None:
    """Nor one that is recorded and never asked."""
    known = {"project": DEFAULT_PROJECT_ID}
    calls = {str(filled(sent.call, known)) for each in exchanges().values() for sent in each.sends}
    unasked = [
        f"{method} {route.path}"
        for route in cast("list[Route]", vars(Emulator())["_routes"])
        for method in sorted(route.methods or ())
        if route.name not in OURS and method != "HEAD" and not _asked(route, method, calls)
    ]
    assert unasked == []


def _asked(route: Route, method: str, calls: set[str]) -> bool:
    scopes = (
        {"type": "http", "method": call.split()[0], "path": call.split()[1], "root_path": ""}
        for call in calls
        if call.split()[0] == method
    )
    return any(route.matches(scope)[0] is Match.FULL for scope in scopes)


def _at(body: Json, path: str) -> tuple[Any, str]:
    """What holds the last part of a dotted path, and that part."""
    *places, name = path.split(".")
    holder: Any = body
    for place in places:
        holder = holder[int(place) if place.isdigit() else place]
    return holder, name


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
def test_a_shape_notices(path: str, value: object, expected: list[str]) -> None:
    """A field too many, one too few, and one of another type, at any depth; and nothing else."""
    body = deepcopy(cast("Json", exchanges()["exchange"].answer.body))
    assert complaints("JWTResponse", body, shapes()) == []
    holder, name = _at(body, path)
    if value is ...:
        del holder[name]
    else:
        holder[name] = value
    assert complaints("JWTResponse", body, shapes()) == expected


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
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
def test_a_type_notices(kind: str, good: object, bad: object) -> None:
    """What is nearly right is wrong."""
    assert complaints(kind, good, shapes()) == []
    assert complaints(kind, bad, shapes()) != []
