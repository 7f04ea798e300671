"""The table of hostile tokens, in ``verify``, headers, cookies and WebSockets (requirements 2.1 and 2.2).

Each test sends a valid token first, to prove that the app accepts one. No hostile token causes a call to
Descope, except for a fetch of the keys.
"""

import contextlib
import re
from collections.abc import Callable

import pytest
from typing_extensions import override

from fastapi_descope._tokens.claims import TokenKind, verify
from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope.errors import TokenError
from tests.helpers.asgi_client import WireResponse
from tests.helpers.attack_target_app import AttackTargetApp, bearer, cookie, header_bytes
from tests.helpers.tampering import NOW, POLICY, PROJECT, Forge
from tests.hostile.tables.redirect_targets import OWN
from tests.hostile.tables.tokens import TOKENS, string_tokens, valid_token

pytestmark = pytest.mark.anyio

MakeTarget = Callable[..., AttackTargetApp]

every_group = pytest.mark.parametrize("group", TOKENS)

JWT_GRAMMAR = re.compile(rb"[\w-]+\.[\w-]+\.[\w-]+")
COOKIE_BYTES = 65_536
SAME_IN_A_COOKIE = {"tv03-trailing space"}
"""White space around a cookie is not part of its value (RFC 6265, section 5.4): this token is valid there."""

CLEARED = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax; Secure"


def summary(response: WireResponse) -> tuple[int, str | None, str | None, str | None, list[str]]:
    """Return status, code, challenge, Cache-Control and cookies of a response."""
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
    """``verify`` raises TokenError for each of them, and accepts the valid token."""
    keys = parse_key_set(forge.key_set("A", "B")).keys
    accepted: list[str] = []
    for name, recipe in TOKENS[group].items():
        try:
            verify(recipe(forge, drn), kinds=(kind,), keys=keys, policy=POLICY, now=NOW)
        except TokenError:
            continue
        accepted.append(name)
    assert accepted == []
    _, claims = verify(valid_token(forge, drn), kinds=(kind,), keys=keys, policy=POLICY, now=NOW)
    assert claims["drn"] == drn


class OAuthForge(Forge):
    """Forges access tokens of an inbound app: each claim that a recipe does not set is that of a good one."""

    @override
    def claims(self, **changes: object) -> dict[str, object]:
        oauth = {"aud": [PROJECT, "TPA2app"], "azp": "TPA2app", "scope": "a", "token_type": "access_token"}
        return super().claims(**{**oauth, **changes})


@every_group
def test_cl01_cl02_a_hostile_access_token_is_no_caller(group: str) -> None:
    """The table again, as access tokens. Only one without ``drn`` is good, as Descope issues them."""
    forge = OAuthForge()
    keys = parse_key_set(forge.key_set("A", "B")).keys
    kinds = (TokenKind.SESSION, TokenKind.DELEGATE)
    accepted: list[tuple[str, TokenKind]] = []
    for name, recipe in TOKENS[group].items():
        with contextlib.suppress(TokenError):
            token = recipe(forge, "DS")
            accepted.append((name, verify(token, kinds=kinds, keys=keys, policy=POLICY, now=NOW)[0]))

    assert accepted == ([("missing", TokenKind.DELEGATE)] if group == "KD-01-KD-07-kind" else [])


@every_group
async def test_tv01_kd08_a_hostile_bearer_is_401(make_target: MakeTarget, forge: Forge, group: str) -> None:
    """The response has the challenge of RFC 6750, no cookie and no caching. There is no call to Descope."""
    env = make_target()
    assert (await env.request("/me", bearer(valid_token(forge).encode()))).status == 200

    responses = {
        name: summary(await env.request("/me", bearer(header_bytes(token))))
        for name, token in string_tokens(forge, group).items()
    }

    rejected = (401, "invalid_token", 'Bearer error="invalid_token"', "no-store", list[str]())
    assert responses == dict.fromkeys(responses, rejected)
    assert (env.ran, env.calls) == ([("/me", "U2forge")], [])
    assert env.key_fetches <= 2


@every_group
async def test_tv01_a_hostile_session_cookie_is_401(
    make_target: MakeTarget, forge: Forge, group: str
) -> None:
    """The cookie is kept. A value without the syntax of a JWT does not count as a credential."""
    env = make_target()
    assert (await env.request("/me", cookie(b"DS=" + valid_token(forge).encode()))).status == 200
    responses: dict[str, object] = {}
    expected: dict[str, object] = {}

    for name, token in string_tokens(forge, group).items():
        value = header_bytes(token)
        is_credential = JWT_GRAMMAR.fullmatch(value) and len(value) < COOKIE_BYTES - len("DS=")
        code = "invalid_token" if is_credential else "not_authenticated"
        if name not in SAME_IN_A_COOKIE:
            responses[name] = summary(await env.request("/me", cookie(b"DS=" + value)))
            expected[name] = (401, code, "Bearer", "no-store", list[str]())

    assert responses == expected
    assert (env.ran, env.calls) == ([("/me", "U2forge")], [])
    assert env.key_fetches <= 2


@every_group
async def test_kd02_a_hostile_refresh_cookie_is_401(
    make_target: MakeTarget, forge: Forge, group: str
) -> None:
    """None is sent to Descope. An expired one clears both cookies, one of another kind only itself."""
    env = make_target()
    both_cleared = [f"DS=; {CLEARED}", f"DSR=; {CLEARED}"]
    code, cookies = {
        "TV-11-expired": ("session_ended", both_cleared),
        "KD-01-KD-07-kind": ("not_authenticated", both_cleared[1:]),
    }.get(group, ("not_authenticated", []))
    caching = "private, no-store" if cookies else "no-store"

    responses = {
        name: summary(await env.request("/me", cookie(b"DSR=" + header_bytes(token))))
        for name, token in string_tokens(forge, group, "DSR").items()
        if name not in SAME_IN_A_COOKIE
    }

    assert responses == dict.fromkeys(responses, (401, code, "Bearer", caching, cookies))
    assert (env.ran, env.calls) == ([], [])


@every_group
async def test_tv01_an_optional_route_runs_without_a_user(
    make_target: MakeTarget, forge: Forge, group: str
) -> None:
    """A hostile token in a header or cookie does not authenticate the request."""
    env = make_target()

    for name, token in string_tokens(forge, group).items():
        value = header_bytes(token)
        assert (await env.request("/maybe", bearer(value))).status == 200
        if name not in SAME_IN_A_COOKIE:
            assert (await env.request("/maybe", cookie(b"DS=" + value))).status == 200

    assert {user for _, user in env.ran} == {None}
    assert env.calls == []


@every_group
async def test_tv01_ws01_a_websocket_is_closed_before_it_is_accepted(
    make_target: MakeTarget, forge: Forge, group: str
) -> None:
    """It is closed with 4401, for a token in the header and, from an own page, in the cookie."""
    env = make_target()
    token = valid_token(forge).encode()
    opened = [("websocket.accept", None)]
    assert await env.connect_websocket(bearer(token)) == opened
    assert await env.connect_websocket((b"origin", OWN.encode()), cookie(b"DS=" + token)) == opened
    responses: dict[str, object] = {}

    for name, text in string_tokens(forge, group).items():
        value = header_bytes(text)
        responses[f"bearer {name}"] = await env.connect_websocket(bearer(value))
        if name not in SAME_IN_A_COOKIE:
            origin = (b"origin", OWN.encode())
            responses[f"cookie {name}"] = await env.connect_websocket(origin, cookie(b"DS=" + value))

    assert responses == {name: [("websocket.close", 4401)] for name in responses}
    assert (env.ran, env.calls) == ([("/feed", "U2forge")] * 2, [])
