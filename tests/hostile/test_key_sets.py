"""Hostile key sets, in the parser and in a running app (requirements JW-05 to JW-11)."""

from collections.abc import Callable

import pytest

from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope.errors import InvalidUpstreamResponse
from tests.helpers.attack_target_app import AttackTargetApp, bearer
from tests.helpers.event_loop import run_ready
from tests.helpers.tampering import NOW, Forge
from tests.hostile.tables.key_sets import MIXED, UNUSABLE

pytestmark = pytest.mark.anyio

MakeTarget = Callable[..., AttackTargetApp]

every_unusable = pytest.mark.parametrize("name", UNUSABLE)
every_mixed = pytest.mark.parametrize("name", MIXED)
every_one = pytest.mark.parametrize("recipe", [*UNUSABLE.values(), *MIXED.values()], ids=[*UNUSABLE, *MIXED])


@pytest.fixture(scope="module")
def good_bearer(forge: Forge) -> tuple[bytes, bytes]:
    """Return an Authorization header with a token of key A that is valid for a day."""
    return bearer(forge.token(forge.claims(exp=NOW + 86_400)).encode())


@every_unusable
def test_jw08_a_key_set_without_usable_key_is_an_error(forge: Forge, name: str) -> None:
    """Every one raises InvalidUpstreamResponse, so that the previous set stays in force."""
    with pytest.raises(InvalidUpstreamResponse):
        parse_key_set(UNUSABLE[name](forge))


@every_mixed
def test_jw09_only_the_good_key_of_a_mixed_set_is_used(forge: Forge, name: str) -> None:
    """The bad members neither affect it nor are used themselves."""
    assert list(parse_key_set(MIXED[name](forge)).keys) == ["A"]


@every_unusable
async def test_jw07_an_app_that_starts_without_usable_key_returns_503(
    make_target: MakeTarget, forge: Forge, good_bearer: tuple[bytes, bytes], name: str
) -> None:
    """No token can be verified, so none is accepted or rejected."""
    env = make_target()
    env.key_set = UNUSABLE[name](forge)

    response = await env.request("/me", good_bearer)

    assert (response.status, response.code) == (503, "upstream_unavailable")
    assert response.one("retry-after") == "1"
    assert response.one("cache-control") == "no-store"
    assert (env.ran, env.key_fetches) == ([], 1)


@every_mixed
async def test_jw09_an_app_that_starts_with_a_mixed_set_works(
    make_target: MakeTarget, forge: Forge, good_bearer: tuple[bytes, bytes], name: str
) -> None:
    """Tokens of key A are accepted; a token that names another member is rejected."""
    env = make_target()
    env.key_set = MIXED[name](forge)

    responses = [
        await env.request("/me", header) for header in (good_bearer, bearer(forge.token(key="B").encode()))
    ]

    assert [response.status for response in responses] == [200, 401]
    assert env.ran == [("/me", "U2forge")]


@every_one
async def test_jw08_an_app_with_good_keys_keeps_working(
    make_target: MakeTarget, forge: Forge, good_bearer: tuple[bytes, bytes], recipe: Callable[[Forge], bytes]
) -> None:
    """The keys are renewed while requests continue. Key A still verifies after any response."""
    env = make_target()
    statuses = [(await env.request("/me", good_bearer)).status]
    env.key_set, env.now = recipe(forge), NOW + 601

    for _ in range(2):
        statuses.append((await env.request("/me", good_bearer)).status)
        await run_ready()

    assert statuses == [200, 200, 200]
    assert env.key_fetches == 2
