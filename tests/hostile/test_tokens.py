"""The table of hostile tokens, by every way in: the pure function, header, cookies, WebSocket (2.1, 2.2).

A good token goes first each time, so that the app is known to tell them apart. Whatever Descope publishes
keys with beside, no hostile token causes a call to it.
"""

import re
from collections.abc import Callable

import pytest

from fastapi_descope._tokens.claims import TokenKind, verify
from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope.errors import TokenError
from tests.helpers.asgi_client import WireResponse
from tests.helpers.attack_target_app import AttackTargetApp, bearer, cookie, on_the_wire
from tests.helpers.tampering import NOW, POLICY, Forge
from tests.hostile.tables.redirect_targets import OWN
from tests.hostile.tables.tokens import TOKENS, good, texts

pytestmark = pytest.mark.anyio

Besieged = Callable[..., AttackTargetApp]

every_group = pytest.mark.parametrize("group", TOKENS)

JWT_GRAMMAR = re.compile(rb"[\w-]+\.[\w-]+\.[\w-]+")
COOKIE_BYTES = 65_536
SAME_IN_A_COOKIE = {"tv03-trailing space"}
"""White space around a cookie is no part of it (RFC 6265, section 5.4): this one is the good token."""

GONE = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax; Secure"


def told(response: WireResponse) -> tuple[int, str | None, str | None, str | None, list[str]]:
    """Status, code, challenge, caching and cookies of an answer."""
    return (
        response.status,
        response.code,
        response.one("www-authenticate"),
        response.one("cache-control"),
        response.all("set-cookie"),
    )


@every_group
@pytest.mark.parametrize(("kind", "drn"), [(TokenKind.SESSION, "DS"), (TokenKind.REFRESH, "DSR")])
def test_tv01_a_hostile_token_is_a_token_error(forge: Forge, group: str, kind: TokenKind, drn: str) -> None:
    """The pure function refuses each with an error of its own family, and takes the good one."""
    keys = parse_key_set(forge.key_set("A", "B")).keys
    passed: list[str] = []
    for name, recipe in TOKENS[group].items():
        try:
            verify(recipe(forge, drn), kind=kind, keys=keys, policy=POLICY, now=NOW)
        except TokenError:
            continue
        passed.append(name)
    assert passed == []
    assert verify(good(forge, drn), kind=kind, keys=keys, policy=POLICY, now=NOW)["drn"] == drn


@every_group
async def test_tv01_kd08_a_hostile_bearer_is_401(besieged: Besieged, forge: Forge, group: str) -> None:
    """401 with the challenge of RFC 6750, whatever is wrong; no cookie, no cache, no call to Descope."""
    env = besieged()
    assert (await env.ask("/me", bearer(good(forge).encode()))).status == 200

    responses = {
        name: told(await env.ask("/me", bearer(on_the_wire(token))))
        for name, token in texts(forge, group).items()
    }

    refused = (401, "invalid_token", 'Bearer error="invalid_token"', "no-store", list[str]())
    assert responses == dict.fromkeys(responses, refused)
    assert (env.ran, env.calls) == ([("/me", "U2forge")], [])
    assert env.key_fetches <= 2


@every_group
async def test_tv01_a_hostile_session_cookie_is_401(besieged: Besieged, forge: Forge, group: str) -> None:
    """401 and the cookie is kept; outside the grammar of a JWT it is no credential to begin with."""
    env = besieged()
    assert (await env.ask("/me", cookie(b"DS=" + good(forge).encode()))).status == 200
    responses: dict[str, object] = {}
    expected: dict[str, object] = {}

    for name, token in texts(forge, group).items():
        value = on_the_wire(token)
        presented = JWT_GRAMMAR.fullmatch(value) and len(value) < COOKIE_BYTES - len("DS=")
        code = "invalid_token" if presented else "not_authenticated"
        if name not in SAME_IN_A_COOKIE:
            responses[name] = told(await env.ask("/me", cookie(b"DS=" + value)))
            expected[name] = (401, code, "Bearer", "no-store", list[str]())

    assert responses == expected
    assert (env.ran, env.calls) == ([("/me", "U2forge")], [])
    assert env.key_fetches <= 2


@every_group
async def test_kd02_a_hostile_refresh_cookie_is_401(besieged: Besieged, forge: Forge, group: str) -> None:
    """None is sent to Descope. One that has ended goes with its session, one of another kind goes alone."""
    env = besieged()
    ended = [f"DS=; {GONE}", f"DSR=; {GONE}"]
    code, cookies = {
        "TV-11-expired": ("session_ended", ended),
        "KD-01-KD-07-kind": ("not_authenticated", ended[1:]),
    }.get(group, ("not_authenticated", []))
    caching = "private, no-store" if cookies else "no-store"

    responses = {
        name: told(await env.ask("/me", cookie(b"DSR=" + on_the_wire(token))))
        for name, token in texts(forge, group, "DSR").items()
        if name not in SAME_IN_A_COOKIE
    }

    assert responses == dict.fromkeys(responses, (401, code, "Bearer", caching, cookies))
    assert (env.ran, env.calls) == ([], [])


@every_group
async def test_tv01_an_optional_route_runs_as_nobody(besieged: Besieged, forge: Forge, group: str) -> None:
    """Where signing in is optional, a hostile token by header or cookie is nobody's."""
    env = besieged()

    for name, token in texts(forge, group).items():
        value = on_the_wire(token)
        assert (await env.ask("/maybe", bearer(value))).status == 200
        if name not in SAME_IN_A_COOKIE:
            assert (await env.ask("/maybe", cookie(b"DS=" + value))).status == 200

    assert {user for _, user in env.ran} == {None}
    assert env.calls == []


@every_group
async def test_tv01_ws01_a_websocket_is_closed_before_it_opens(
    besieged: Besieged, forge: Forge, group: str
) -> None:
    """4401 instead of an accept, by header and, from a page of our own, by cookie."""
    env = besieged()
    token = good(forge).encode()
    opened = [("websocket.accept", None)]
    assert await env.knock(bearer(token)) == opened
    assert await env.knock((b"origin", OWN.encode()), cookie(b"DS=" + token)) == opened
    responses: dict[str, object] = {}

    for name, text in texts(forge, group).items():
        value = on_the_wire(text)
        responses[f"bearer {name}"] = await env.knock(bearer(value))
        if name not in SAME_IN_A_COOKIE:
            origin = (b"origin", OWN.encode())
            responses[f"cookie {name}"] = await env.knock(origin, cookie(b"DS=" + value))

    assert responses == {name: [("websocket.close", 4401)] for name in responses}
    assert (env.ran, env.calls) == ([("/feed", "U2forge")] * 2, [])
