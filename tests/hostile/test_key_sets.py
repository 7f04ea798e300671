"""Hostile key sets, by the pure function and behind a running app (requirements JW-05 to JW-11)."""

from collections.abc import Callable

import pytest

from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope.errors import InvalidUpstreamResponse
from tests.helpers.attack_target_app import AttackTargetApp, bearer
from tests.helpers.event_loop import run_ready
from tests.helpers.tampering import NOW, Forge
from tests.hostile.tables.key_sets import MIXED, UNUSABLE

pytestmark = pytest.mark.anyio

Besieged = Callable[..., AttackTargetApp]

every_unusable = pytest.mark.parametrize("name", UNUSABLE)
every_mixed = pytest.mark.parametrize("name", MIXED)
every_one = pytest.mark.parametrize("recipe", [*UNUSABLE.values(), *MIXED.values()], ids=[*UNUSABLE, *MIXED])


@pytest.fixture(scope="module")
def proof(forge: Forge) -> tuple[bytes, bytes]:
    """An Authorization header with a token of key A that is good for a day."""
    return bearer(forge.token(forge.claims(exp=NOW + 86_400)).encode())


@every_unusable
def test_jw08_what_holds_no_usable_key_is_nonsense(forge: Forge, name: str) -> None:
    """One error of one family, so that the set before it stays in force."""
    with pytest.raises(InvalidUpstreamResponse):
        parse_key_set(UNUSABLE[name](forge))


@every_mixed
def test_jw09_the_good_key_of_a_mixed_set_is_used_alone(forge: Forge, name: str) -> None:
    """Nothing around it spoils it, and nothing around it is let in with it."""
    assert list(parse_key_set(MIXED[name](forge)).keys) == ["A"]


@every_unusable
async def test_jw07_an_app_that_starts_with_nothing_usable_answers_503(
    besieged: Besieged, forge: Forge, proof: tuple[bytes, bytes], name: str
) -> None:
    """Nobody can tell who is calling, so nobody is refused for it, nor let in: try again."""
    env = besieged()
    env.key_set = UNUSABLE[name](forge)

    response = await env.ask("/me", proof)

    assert (response.status, response.code) == (503, "upstream_unavailable")
    assert response.one("retry-after") == "1"
    assert response.one("cache-control") == "no-store"
    assert (env.ran, env.key_fetches) == ([], 1)


@every_mixed
async def test_jw09_an_app_that_starts_with_a_mixed_set_works(
    besieged: Besieged, forge: Forge, proof: tuple[bytes, bytes], name: str
) -> None:
    """Key A verifies; a token that names any other member is refused."""
    env = besieged()
    env.key_set = MIXED[name](forge)

    responses = [await env.ask("/me", header) for header in (proof, bearer(forge.token(key="B").encode()))]

    assert [response.status for response in responses] == [200, 401]
    assert env.ran == [("/me", "U2forge")]


@every_one
async def test_jw08_an_app_with_good_keys_keeps_working(
    besieged: Besieged, forge: Forge, proof: tuple[bytes, bytes], recipe: Callable[[Forge], bytes]
) -> None:
    """Its keys are renewed when due, beside the request; whatever comes, key A goes on verifying."""
    env = besieged()
    statuses = [(await env.ask("/me", proof)).status]
    env.key_set, env.now = recipe(forge), NOW + 601

    for _ in range(2):
        statuses.append((await env.ask("/me", proof)).status)
        await run_ready()

    assert statuses == [200, 200, 200]
    assert env.key_fetches == 2
