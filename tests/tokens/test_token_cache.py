"""Verified tokens are remembered: never for longer, for more, or for another purpose than was verified.

Requirement TV-18, and TV-17 and TN-10 as far as remembering could break them. The first half asks the
memory itself, the second half the key cache that uses it.
"""

import gc
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import pytest

from fastapi_descope._encoding.frozen_dict import FrozenDict
from fastapi_descope._tokens.verifier import TokenCache
from fastapi_descope.errors import TokenError, TokenExpired, TokenReason
from fastapi_descope.session import AuthSession, RefreshToken
from tests.helpers.event_loop import run_ready
from tests.helpers.jwks_publisher import Publisher
from tests.helpers.tampering import NOW, Forge, segment, twin, with_segment

pytestmark = pytest.mark.anyio


def remember(tokens: TokenCache[str], *names: str, expires_at: float = 10.0) -> None:
    """Put values under digests of the same name."""
    for name in names:
        tokens.put(name.encode(), name, expires_at=expires_at, subject=f"U-{name}")


def test_what_was_put_is_there_until_it_dies() -> None:
    """A value is given out up to its end, and afterwards the error names whose it was."""
    tokens = TokenCache[str](8)
    remember(tokens, "a", expires_at=10.0)
    assert (tokens.get(b"a", 9.9), tokens.get(b"b", 9.9)) == ("a", None)
    for now in (10.0, 11.0):
        with pytest.raises(TokenExpired) as caught:
            tokens.get(b"a", now)
        assert caught.value.subject == "U-a"


def test_the_least_used_go_first() -> None:
    """A value that was asked for stays longer than one that was put in later."""
    tokens = TokenCache[str](2)
    remember(tokens, "a", "b")
    assert tokens.get(b"a", 0) == "a"
    remember(tokens, "c")
    assert [tokens.get(name, 0) for name in (b"a", b"b", b"c")] == ["a", None, "c"]


def test_tv18_no_more_are_kept_than_asked_for() -> None:
    """A hundred thousand distinct tokens leave as many entries as there is room for."""
    tokens = TokenCache[str](100)
    names = [str(number) for number in range(100_000)]
    remember(tokens, *names)
    assert [name for name in names if tokens.get(name.encode(), 0)] == names[-100:]


def test_a_size_of_zero_remembers_nothing() -> None:
    """The memory can be switched off."""
    tokens = TokenCache[str](0)
    remember(tokens, "a")
    assert tokens.get(b"a", 0) is None


def test_clearing_forgets_everything() -> None:
    """After a change of keys nothing of before is known."""
    tokens = TokenCache[str](8)
    remember(tokens, "a", "b")
    tokens.clear()
    assert [tokens.get(name, 0) for name in (b"a", b"b")] == [None, None]


async def test_a_token_is_verified_once(forge: Forge) -> None:
    """The second request gets the very session of the first one, at no further cost."""
    cache = Publisher(forge.key_set("A")).cache()
    token = forge.token()
    first = await cache.verify_session(token)
    assert await cache.verify_session(token) is first
    assert await cache.verify_session(token.encode().decode()) is first


@pytest.mark.parametrize(("size", "known"), [(4096, True), (0, False)])
async def test_a_clock_set_back_is_no_reason_to_verify_again(forge: Forge, size: int, *, known: bool) -> None:
    """Of a remembered token only the end is looked at: what has begun does not begin anew."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache(size=size)
    tokens = forge.token(), forge.token(forge.claims(drn="DSR"))
    await cache.verify_session(tokens[0])
    await cache.verify_refresh_token(tokens[1])
    descope.now -= 3600
    for response in (cache.verify_session(tokens[0]), cache.verify_refresh_token(tokens[1])):
        if known:
            assert (await response).expires_at == NOW + 600
        else:
            with pytest.raises(TokenError) as caught:
                await response
            assert caught.value.reason is TokenReason.NOT_YET_VALID


async def test_a_cache_of_size_zero_verifies_each_time(forge: Forge) -> None:
    """Without a memory the sessions are equal but made anew."""
    cache = Publisher(forge.key_set("A")).cache(size=0)
    first, second = [await cache.verify_session(forge.token()) for _ in range(2)]
    assert first == second
    assert first is not second


async def test_tv18_a_verified_session_is_no_refresh_token(forge: Forge) -> None:
    """What was verified as one kind is verified anew, and refused, as the other."""
    cache = Publisher(forge.key_set("A")).cache()
    session, refresh = forge.token(), forge.token(forge.claims(drn="DSR"))
    assert isinstance(await cache.verify_session(session), AuthSession)
    assert isinstance(await cache.verify_refresh_token(refresh), RefreshToken)
    for response in (cache.verify_refresh_token(session), cache.verify_session(refresh)):
        with pytest.raises(TokenError) as caught:
            await response
        assert caught.value.reason is TokenReason.KIND


@pytest.mark.parametrize("exp", [NOW + 600, NOW + 600.5])
async def test_tv11_a_remembered_token_expires_when_any_other_does(forge: Forge, exp: float) -> None:
    """To the fraction of a second, and with the same error."""
    descope = Publisher(forge.key_set("A"))
    token = forge.token(forge.claims(exp=exp))
    for cache in (descope.cache(), descope.cache(size=0)):
        descope.now = NOW
        await cache.verify_session(token)
        descope.now = exp + 4.9
        assert (await cache.verify_session(token)).user.id == "U2forge"
        descope.now = exp + 5
        with pytest.raises(TokenExpired) as caught:
            await cache.verify_session(token)
        assert caught.value.subject == "U2forge"


async def test_a_remembered_refresh_token_expires_too(forge: Forge) -> None:
    """Its subject is known although its claims are not kept."""
    descope = Publisher(forge.key_set("A"))
    cache = descope.cache()
    token = forge.token(forge.claims(drn="DSR", dsub="U2real"))
    await cache.verify_refresh_token(token)
    descope.now += 605
    with pytest.raises(TokenExpired) as caught:
        await cache.verify_refresh_token(token)
    assert caught.value.subject == "U2real"


async def test_tv18_a_withdrawn_key_takes_its_tokens_along(forge: Forge) -> None:
    """Once the set without the key is there, remembered tokens of it are refused, of either kind."""
    descope = Publisher(forge.key_set("A", "B"), forge.key_set("B"))
    cache = descope.cache()
    lasting = [forge.claims(drn=drn, exp=NOW + 3600) for drn in ("DS", "DSR")]
    (old, old_refresh), (new, new_refresh) = ([forge.token(c, key=key) for c in lasting] for key in "AB")
    for _ in range(2):
        for session, refresh in ((old, old_refresh), (new, new_refresh)):
            assert isinstance(await cache.verify_session(session), AuthSession)
            assert isinstance(await cache.verify_refresh_token(refresh), RefreshToken)
        descope.now += 600
    await run_ready()
    for response in (cache.verify_session(old), cache.verify_refresh_token(old_refresh)):
        with pytest.raises(TokenError) as caught:
            await response
        assert caught.value.reason is TokenReason.UNKNOWN_KEY
    assert isinstance(await cache.verify_session(new), AuthSession)
    assert isinstance(await cache.verify_refresh_token(new_refresh), RefreshToken)


async def test_tv18_a_replaced_key_takes_its_tokens_along(forge: Forge) -> None:
    """The same id with new material is another key, although ids and number of keys are as before."""
    descope = Publisher(forge.key_set("A"), forge.key_set(forge.jwk("B", kid="A")))
    cache = descope.cache()
    token = forge.token(forge.claims(exp=NOW + 3600))
    await cache.verify_session(token)
    descope.now += 600
    await cache.verify_session(token)
    await run_ready()
    with pytest.raises(TokenError) as caught:
        await cache.verify_session(token)
    assert caught.value.reason is TokenReason.SIGNATURE


async def test_the_same_keys_again_change_nothing(forge: Forge) -> None:
    """A renewal that brings the same material keeps what was verified."""
    descope = Publisher(forge.key_set("A", "B"), forge.key_set("B", "A"))
    cache = descope.cache()
    token = forge.token(forge.claims(exp=NOW + 3600))
    first = await cache.verify_session(token)
    descope.now += 600
    await cache.verify_session(token)
    await run_ready()
    assert descope.fetches == 2
    assert await cache.verify_session(token) is first


async def test_jw06_without_keys_nothing_is_known(forge: Forge) -> None:
    """Keys that were not confirmed for a day vouch for no token, remembered or not."""
    descope = Publisher(forge.key_set("A"), forge.key_set("B"))
    cache = descope.cache()
    token = forge.token(forge.claims(exp=NOW + 10**6))
    await cache.verify_session(token)
    descope.now += 86400
    with pytest.raises(TokenError) as caught:
        await cache.verify_session(token)
    assert caught.value.reason is TokenReason.UNKNOWN_KEY


async def test_tv03_no_other_spelling_is_remembered(forge: Forge) -> None:
    """A token that differs from a remembered one in unused bits, or in anything, is refused."""
    cache = Publisher(forge.key_set("A")).cache()
    token = forge.token()
    await cache.verify_session(token)
    for other in (f"{token}=", f" {token}", with_segment(token, 2, twin(segment(token, 2))), token[:-1]):
        with pytest.raises(TokenError) as caught:
            await cache.verify_session(other)
        assert caught.value.reason is TokenReason.MALFORMED


async def test_refused_tokens_leave_no_trace(forge: Forge) -> None:
    """Forgeries do not push out what was verified, however many there are."""
    cache = Publisher(forge.key_set("A")).cache(size=1)
    first = await cache.verify_session(forge.token())
    for number in range(20):
        with pytest.raises(TokenError):
            await cache.verify_session(forge.token({"sub": str(number)}))
    assert await cache.verify_session(forge.token()) is first


async def test_tn10_one_user_in_two_tenants_is_two_sessions(forge: Forge) -> None:
    """Tokens of one user with different tenants, in alternation, keep their own tenant."""
    cache = Publisher(forge.key_set("A")).cache()
    tenants: dict[str, dict[str, list[str]]] = {"T1": {}, "T2": {}}
    tokens = {name: forge.token(forge.claims(dct=name, tenants=tenants)) for name in tenants}
    for _ in range(1000):
        for name, token in tokens.items():
            session = await cache.verify_session(token)
            assert session.tenant_claim == name


async def test_tv17_a_remembered_session_cannot_be_poisoned(forge: Forge) -> None:
    """What one request is given, the next one is given too, so it cannot be written to."""
    cache = Publisher(forge.key_set("A")).cache()
    session = await cache.verify_session(forge.token())
    for mapping in (session.claims, session.tenants, session.claims["tenants"]):
        assert isinstance(mapping, FrozenDict)
    for attribute in ("user", "tenant", "expires_at"):
        with pytest.raises(AttributeError):
            setattr(session, attribute, None)


SCENERY = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)


def texts_within(root: object) -> set[str]:
    """Every text that an object holds on to, directly or not, as far as data goes."""
    seen: dict[int, object] = {}
    left = [root]
    while left:
        found = left.pop()
        if id(found) not in seen and not isinstance(found, SCENERY):
            seen[id(found)] = found
            left.extend(gc.get_referents(found))
    return {found for found in seen.values() if isinstance(found, str)}


async def test_no_bearer_token_is_kept_in_memory(forge: Forge) -> None:
    """The memory holds digests and values: neither kind of token can be read out of it."""
    cache = Publisher(forge.key_set("A")).cache()
    tokens = [forge.token(), forge.token(forge.claims(drn="DSR"))]
    assert (await cache.verify_session(tokens[0])).user.id == "U2forge"
    assert (await cache.verify_refresh_token(tokens[1])).text == tokens[1]
    texts = texts_within(cache)
    assert "U2forge" in texts
    assert not texts.intersection(tokens)
