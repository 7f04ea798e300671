"""Hostile cookie headers with valid tokens, in the parser and in an app (requirements 2.6).

The tokens are valid, so that only the header decides about the session.
"""

from collections.abc import Callable

import pytest

from fastapi_descope._web.credentials import CredentialsReader
from fastapi_descope.settings import DescopeSettings
from tests.helpers.attack_target_app import AttackTargetApp, cookie
from tests.helpers.tampering import PROJECT, Forge
from tests.hostile.tables.cookies import HEADERS, chunks
from tests.hostile.tables.redirect_targets import OWN
from tests.hostile.tables.tokens import valid_token

pytestmark = pytest.mark.anyio

MakeTarget = Callable[..., AttackTargetApp]
Tokens = tuple[bytes, bytes]

every_header = pytest.mark.parametrize("name", HEADERS)


@pytest.fixture(scope="module")
def tokens(forge: Forge) -> Tokens:
    """Return valid session tokens of two users."""
    return valid_token(forge).encode(), valid_token(forge, sub="U2other").encode()


@every_header
def test_ck01_no_token_is_read(tokens: Tokens, name: str) -> None:
    """The parser returns neither token."""
    reader = CredentialsReader(DescopeSettings(project_id=PROJECT, public_url=OWN, cookie_prefix=""))
    headers = [cookie(line) for line in HEADERS[name](*tokens)]
    assert reader.read({"type": "http", "method": "GET", "headers": headers}).session is None


@every_header
async def test_ck02_the_request_is_unauthenticated(
    make_target: MakeTarget, tokens: Tokens, name: str
) -> None:
    """The response is 401 and leaves the cookies alone. An optional route runs without a user."""
    env = make_target()
    headers = [cookie(line) for line in HEADERS[name](*tokens)]

    refused, anonymous = await env.request("/me", *headers), await env.request("/maybe", *headers)

    assert (refused.status, refused.one("www-authenticate")) == (401, "Bearer")
    assert refused.all("set-cookie") == anonymous.all("set-cookie") == []
    assert env.ran == [("/maybe", None)]
    assert env.calls == []


@pytest.mark.parametrize("count", [None, 2, 3, 4])
async def test_ck08_the_same_tokens_in_valid_cookies_authenticate(
    make_target: MakeTarget, tokens: Tokens, count: int | None
) -> None:
    """Whole or in chunks. This proves that the rejections are about the headers."""
    env = make_target()
    parts = [b"DS=" + tokens[0]] if count is None else chunks(tokens[0], count)

    assert (await env.request("/me", cookie(b"theme=dark", *parts))).body == b'"U2forge"'
    assert (await env.request("/me", *[cookie(part) for part in reversed(parts)])).body == b'"U2forge"'
