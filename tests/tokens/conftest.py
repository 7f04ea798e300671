"""Fixtures for the tests of tokens and keys."""

from collections.abc import Callable, Mapping

import pytest

from fastapi_descope._tokens.claims import Key, TokenKind, TokenPolicy, verify
from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope.errors import TokenError
from fastapi_descope.session import Claims
from tests.helpers.tampering import NOW, POLICY, Forge


@pytest.fixture(scope="session")
def forge() -> Forge:
    """The one forge of the run, so that its keys are made once."""
    return Forge()


@pytest.fixture(scope="session")
def key_pair(forge: Forge) -> Mapping[str, Key]:
    """The keys A and B of the forge, parsed."""
    return parse_key_set(forge.key_set("A", "B")).keys


@pytest.fixture(scope="session")
def token_verify(key_pair: Mapping[str, Key]) -> Callable[..., Claims]:
    """``verify`` for a session at the frozen time, unless a test says otherwise."""

    def run(
        token: object,
        kind: TokenKind = TokenKind.SESSION,
        *,
        now: float = NOW,
        policy: TokenPolicy = POLICY,
        keys: Mapping[str, Key] = key_pair,
    ) -> Claims:
        return verify(token, kind=kind, keys=keys, policy=policy, now=now)

    return run


@pytest.fixture(scope="session")
def token_refusal(token_verify: Callable[..., Claims]) -> Callable[..., TokenError]:
    """The error that a token meets: it is of our family, and tells nothing but a reason (LG-02)."""

    def refusal(token: object, *arguments: object, **options: object) -> TokenError:
        with pytest.raises(TokenError) as caught:
            token_verify(token, *arguments, **options)
        assert caught.value.__context__ is None
        assert str(caught.value) == "The session is not valid"
        return caught.value

    return refusal
