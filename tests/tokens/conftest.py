"""Fixtures of the tests of tokens and keys."""

from collections.abc import Callable, Mapping

import pytest

from fastapi_descope._tokens.claims import Key, TokenKind, TokenPolicy, verify
from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope.errors import SenderConstrained, TokenError
from fastapi_descope.session import Claims
from tests.helpers.tampering import NOW, POLICY, Forge


@pytest.fixture(scope="session")
def forge() -> Forge:
    """Return one token factory for the whole run, so that each key is generated once."""
    return Forge()


@pytest.fixture(scope="session")
def key_pair(forge: Forge) -> Mapping[str, Key]:
    """Return the parsed keys A and B."""
    return parse_key_set(forge.key_set("A", "B")).keys


@pytest.fixture(scope="session")
def verify_token(key_pair: Mapping[str, Key]) -> Callable[..., Claims]:
    """Return ``verify`` with defaults: a session token, the keys A and B, at ``NOW``."""

    def run(
        token: object,
        kind: TokenKind = TokenKind.SESSION,
        *,
        now: float = NOW,
        policy: TokenPolicy = POLICY,
        keys: Mapping[str, Key] = key_pair,
    ) -> Claims:
        return verify(token, kinds=(kind,), keys=keys, policy=policy, now=now)[1]

    return run


@pytest.fixture(scope="session")
def error_of(verify_token: Callable[..., Claims]) -> Callable[..., TokenError]:
    """Return a function that returns the error of a token, which shows nothing of the token (LG-02)."""

    def error(token: object, *arguments: object, **options: object) -> TokenError:
        with pytest.raises(TokenError) as caught:
            verify_token(token, *arguments, **options)
        assert caught.value.__context__ is None
        assert str(caught.value) in {"The session is not valid", str(SenderConstrained())}
        return caught.value

    return error
