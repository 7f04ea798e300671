"""Hostile cookie headers, by the parser and through the app, with genuine tokens in them (2.6).

The tokens are good, so that only the header stands between them and a session.
"""

from collections.abc import Callable

import pytest

from fastapi_descope._web.credentials import CredentialsReader
from fastapi_descope.settings import DescopeSettings
from tests.helpers.attack_target_app import AttackTargetApp, cookie
from tests.helpers.tampering import PROJECT, Forge
from tests.hostile.tables.cookies import HEADERS, chunks
from tests.hostile.tables.redirect_targets import OWN
from tests.hostile.tables.tokens import good

pytestmark = pytest.mark.anyio

Besieged = Callable[..., AttackTargetApp]
Tokens = tuple[bytes, bytes]

every_header = pytest.mark.parametrize("name", HEADERS)


@pytest.fixture(scope="module")
def tokens(forge: Forge) -> Tokens:
    """Genuine session tokens of two users."""
    return good(forge).encode(), good(forge, sub="U2other").encode()


@every_header
def test_ck01_no_token_is_read(tokens: Tokens, name: str) -> None:
    """Neither user's token comes out of the header."""
    reader = CredentialsReader(DescopeSettings(project_id=PROJECT, public_url=OWN))
    headers = [cookie(line) for line in HEADERS[name](*tokens)]
    assert reader.read({"type": "http", "method": "GET", "headers": headers}).session is None


@every_header
async def test_ck02_nobody_is_signed_in(besieged: Besieged, tokens: Tokens, name: str) -> None:
    """401, and the browser's cookies are left as they are; an optional route runs as nobody."""
    env = besieged()
    headers = [cookie(line) for line in HEADERS[name](*tokens)]

    refused, anonymous = await env.ask("/me", *headers), await env.ask("/maybe", *headers)

    assert (refused.status, refused.one("www-authenticate")) == (401, "Bearer")
    assert refused.all("set-cookie") == anonymous.all("set-cookie") == []
    assert env.ran == [("/maybe", None)]
    assert env.calls == []


@pytest.mark.parametrize("count", [None, 2, 3, 4])
async def test_ck08_the_same_tokens_in_good_cookies_sign_in(
    besieged: Besieged, tokens: Tokens, count: int | None
) -> None:
    """Whole or in chunks, so that the refusals above are known to be about the headers."""
    env = besieged()
    parts = [b"DS=" + tokens[0]] if count is None else chunks(tokens[0], count)

    assert (await env.ask("/me", cookie(b"theme=dark", *parts))).body == b'"U2forge"'
    assert (await env.ask("/me", *[cookie(part) for part in reversed(parts)])).body == b'"U2forge"'
