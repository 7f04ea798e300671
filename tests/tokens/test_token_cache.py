"""Verified tokens are cached, never for longer or for another purpose than they were verified for.

Requirement TV-18, and TV-17 and TN-10 as far as caching could break them. The first half tests the cache
alone, the second half the verifier with its cache.
"""

import gc
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import pytest

from fastapi_descope._encoding import FrozenDict
from fastapi_descope._tokens.verifier import TokenCache
from fastapi_descope.errors import TokenError, TokenExpired, TokenReason
from fastapi_descope.session import AuthSession, RefreshToken
from tests.helpers.event_loop import run_ready
from tests.helpers.jwks_publisher import Publisher
from tests.helpers.tampering import NOW, Forge, segment, twin, with_segment

pytestmark = pytest.mark.anyio


def put(tokens: TokenCache[str], *names: str, expires_at: float = 10.0) -> None:
    """Put values under digests of the same name."""
    for name in names:
        tokens.put(name.encode(), name, expires_at=expires_at, subject=f"U-{name}")


def test_a_value_is_cached_until_it_expires() -> None:
    """Afterwards the error has the user id."""
    tokens = TokenCache[str](8)
    put(tokens, "a", expires_at=10.0)
    assert (tokens.get(b"a", 9.9), tokens.get(b"b", 9.9)) == ("a", None)
    for now in (10.0, 11.0):
        with pytest.raises(TokenExpired) as caught:
            tokens.get(b"a", now)
        assert caught.value.subject == "U-a"


def test_the_least_recently_used_value_is_evicted() -> None:
    """Reading a value counts as use."""
    tokens = TokenCache[str](2)
    put(tokens, "a", "b")
    assert tokens.get(b"a", 0) == "a"
    put(tokens, "c")
    assert [tokens.get(name, 0) for name in (b"a", b"b", b"c")] == ["a", None, "c"]


def test_tv18_the_cache_has_a_maximum_size() -> None:
    """After a hundred thousand tokens it contains the newest hundred."""
    tokens = TokenCache[str](100)
    names = [str(number) for number in range(100_000)]
    put(tokens, *names)
    assert [name for name in names if tokens.get(name.encode(), 0)] == names[-100:]


def test_a_size_of_zero_caches_nothing() -> None:
    """The cache can be switched off."""
    tokens = TokenCache[str](0)
    put(tokens, "a")
    assert tokens.get(b"a", 0) is None


def test_clear_removes_every_value() -> None:
    """After a change of the keys no earlier result counts."""
    tokens = TokenCache[str](8)
    put(tokens, "a", "b")
    tokens.clear()
    assert [tokens.get(name, 0) for name in (b"a", b"b")] == [None, None]


async def test_a_token_is_verified_once(forge: Forge) -> None:
    """The second request gets the same session object."""
    verifier = Publisher(forge.key_set("A")).verifier()
    token = forge.token()
    first = await verifier.verify_session(token)
    assert await verifier.verify_session(token) is first
    assert await verifier.verify_session(token.encode().decode()) is first


@pytest.mark.parametrize(("size", "cached"), [(4096, True), (0, False)])
async def test_a_clock_set_back_does_not_reject_a_cached_token(
    forge: Forge, size: int, *, cached: bool
) -> None:
    """Only the expiry of a cached token is checked, not its start."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier(size=size)
    tokens = forge.token(), forge.token(forge.claims(drn="DSR"))
    await verifier.verify_session(tokens[0])
    await verifier.verify_refresh_token(tokens[1])
    publisher.now -= 3600
    for response in (verifier.verify_session(tokens[0]), verifier.verify_refresh_token(tokens[1])):
        if cached:
            assert (await response).expires_at == NOW + 600
        else:
            with pytest.raises(TokenError) as caught:
                await response
            assert caught.value.reason is TokenReason.NOT_YET_VALID


async def test_rf04_first_presentation_of_a_refresh_token_is_reported_once(forge: Forge) -> None:
    """A token that Descope has just issued is cached before a browser presents it."""
    publisher, presented = Publisher(forge.key_set("A")), list[str]()
    verifier, token = publisher.verifier(), forge.token(forge.claims(drn="DSR"))
    for _ in range(2):
        await verifier.verify_refresh_token(token)
    assert presented == []
    for _ in range(3):
        await verifier.verify_refresh_token(token, on_first_presented=presented.append)
        await verifier.verify_refresh_token(token)
    assert presented == [token]
    unknown = forge.token(forge.claims(drn="DSR", sub="U2other"))
    await verifier.verify_refresh_token(unknown, on_first_presented=presented.append)
    assert presented == [token, unknown]


async def test_rf04_invalid_refresh_token_is_not_presented(forge: Forge) -> None:
    """Neither is an expired one."""
    publisher, presented = Publisher(forge.key_set("A")), list[str]()
    verifier, token = publisher.verifier(), forge.token(forge.claims(drn="DSR"))
    await verifier.verify_refresh_token(token)
    publisher.now += 700
    for text in (token, token + "x", forge.token()):
        with pytest.raises(TokenError):
            await verifier.verify_refresh_token(text, on_first_presented=presented.append)
    assert presented == []


async def test_without_a_cache_every_request_verifies(forge: Forge) -> None:
    """The sessions are equal, but not the same object."""
    verifier = Publisher(forge.key_set("A")).verifier(size=0)
    first, second = [await verifier.verify_session(forge.token()) for _ in range(2)]
    assert first == second
    assert first is not second


async def test_tv18_a_cached_session_token_is_not_a_refresh_token(forge: Forge) -> None:
    """A token that was cached as one kind is rejected as the other."""
    verifier = Publisher(forge.key_set("A")).verifier()
    session, refresh = forge.token(), forge.token(forge.claims(drn="DSR"))
    assert isinstance(await verifier.verify_session(session), AuthSession)
    assert isinstance(await verifier.verify_refresh_token(refresh), RefreshToken)
    for response in (verifier.verify_refresh_token(session), verifier.verify_session(refresh)):
        with pytest.raises(TokenError) as caught:
            await response
        assert caught.value.reason is TokenReason.KIND


@pytest.mark.parametrize("exp", [NOW + 600, NOW + 600.5])
async def test_tv11_a_cached_token_expires_like_any_other(forge: Forge, exp: float) -> None:
    """At the same fraction of a second, and with the same error."""
    publisher = Publisher(forge.key_set("A"))
    token = forge.token(forge.claims(exp=exp))
    for verifier in (publisher.verifier(), publisher.verifier(size=0)):
        publisher.now = NOW
        await verifier.verify_session(token)
        publisher.now = exp + 4.9
        assert (await verifier.verify_session(token)).user.id == "U2forge"
        publisher.now = exp + 5
        with pytest.raises(TokenExpired) as caught:
            await verifier.verify_session(token)
        assert caught.value.subject == "U2forge"


async def test_a_cached_refresh_token_expires(forge: Forge) -> None:
    """Its subject is cached although its claims are not cached."""
    publisher = Publisher(forge.key_set("A"))
    verifier = publisher.verifier()
    token = forge.token(forge.claims(drn="DSR", dsub="U2real"))
    await verifier.verify_refresh_token(token)
    publisher.now += 605
    with pytest.raises(TokenExpired) as caught:
        await verifier.verify_refresh_token(token)
    assert caught.value.subject == "U2real"


async def test_tv18_cached_tokens_of_a_withdrawn_key_are_rejected(forge: Forge) -> None:
    """Once the set without the key is fetched, its cached tokens are rejected."""
    publisher = Publisher(forge.key_set("A", "B"), forge.key_set("B"))
    verifier = publisher.verifier()
    lasting = [forge.claims(drn=drn, exp=NOW + 3600) for drn in ("DS", "DSR")]
    (old, old_refresh), (new, new_refresh) = ([forge.token(c, key=key) for c in lasting] for key in "AB")
    for _ in range(2):
        for session, refresh in ((old, old_refresh), (new, new_refresh)):
            assert isinstance(await verifier.verify_session(session), AuthSession)
            assert isinstance(await verifier.verify_refresh_token(refresh), RefreshToken)
        publisher.now += 600
    await run_ready()
    for response in (verifier.verify_session(old), verifier.verify_refresh_token(old_refresh)):
        with pytest.raises(TokenError) as caught:
            await response
        assert caught.value.reason is TokenReason.UNKNOWN_KEY
    assert isinstance(await verifier.verify_session(new), AuthSession)
    assert isinstance(await verifier.verify_refresh_token(new_refresh), RefreshToken)


async def test_tv18_cached_tokens_of_a_replaced_key_are_rejected(forge: Forge) -> None:
    """New material under the same id is another key, although the ids have not changed."""
    publisher = Publisher(forge.key_set("A"), forge.key_set(forge.jwk("B", kid="A")))
    verifier = publisher.verifier()
    token = forge.token(forge.claims(exp=NOW + 3600))
    await verifier.verify_session(token)
    publisher.now += 600
    await verifier.verify_session(token)
    await run_ready()
    with pytest.raises(TokenError) as caught:
        await verifier.verify_session(token)
    assert caught.value.reason is TokenReason.SIGNATURE


async def test_a_renewal_of_the_same_keys_keeps_the_cache(forge: Forge) -> None:
    """The order of the keys does not matter."""
    publisher = Publisher(forge.key_set("A", "B"), forge.key_set("B", "A"))
    verifier = publisher.verifier()
    token = forge.token(forge.claims(exp=NOW + 3600))
    first = await verifier.verify_session(token)
    publisher.now += 600
    await verifier.verify_session(token)
    await run_ready()
    assert publisher.fetches == 2
    assert await verifier.verify_session(token) is first


async def test_jw06_without_current_keys_no_cached_token_is_accepted(forge: Forge) -> None:
    """Keys that were not fetched for a day verify no token, cached or not."""
    publisher = Publisher(forge.key_set("A"), forge.key_set("B"))
    verifier = publisher.verifier()
    token = forge.token(forge.claims(exp=NOW + 10**6))
    await verifier.verify_session(token)
    publisher.now += 86400
    with pytest.raises(TokenError) as caught:
        await verifier.verify_session(token)
    assert caught.value.reason is TokenReason.UNKNOWN_KEY


async def test_tv03_another_encoding_of_a_cached_token_is_rejected(forge: Forge) -> None:
    """A token that differs from a cached one, if only in unused bits, is malformed."""
    verifier = Publisher(forge.key_set("A")).verifier()
    token = forge.token()
    await verifier.verify_session(token)
    for other in (f"{token}=", f" {token}", with_segment(token, 2, twin(segment(token, 2))), token[:-1]):
        with pytest.raises(TokenError) as caught:
            await verifier.verify_session(other)
        assert caught.value.reason is TokenReason.MALFORMED


async def test_rejected_tokens_are_not_cached(forge: Forge) -> None:
    """Forgeries do not evict verified tokens."""
    verifier = Publisher(forge.key_set("A")).verifier(size=1)
    first = await verifier.verify_session(forge.token())
    for number in range(20):
        with pytest.raises(TokenError):
            await verifier.verify_session(forge.token({"sub": str(number)}))
    assert await verifier.verify_session(forge.token()) is first


async def test_tn10_one_user_in_two_tenants_is_two_sessions(forge: Forge) -> None:
    """Tokens of one user with different tenants, used in turn, keep their own tenant."""
    verifier = Publisher(forge.key_set("A")).verifier()
    tenants: dict[str, dict[str, list[str]]] = {"T1": {}, "T2": {}}
    tokens = {name: forge.token(forge.claims(dct=name, tenants=tenants)) for name in tenants}
    for _ in range(1000):
        for name, token in tokens.items():
            session = await verifier.verify_session(token)
            assert session.tenant_claim == name


async def test_tv17_a_cached_session_cannot_be_changed(forge: Forge) -> None:
    """All requests get the same object, so no request may change it."""
    verifier = Publisher(forge.key_set("A")).verifier()
    session = await verifier.verify_session(forge.token())
    for mapping in (session.claims, session.tenants, session.claims["tenants"]):
        assert isinstance(mapping, FrozenDict)
    for attribute in ("user", "tenant", "expires_at"):
        with pytest.raises(AttributeError):
            setattr(session, attribute, None)


CODE_TYPES = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)


def strings_in(root: object) -> set[str]:
    """Return every string that an object refers to, directly or indirectly, as far as data goes."""
    seen: dict[int, object] = {}
    left = [root]
    while left:
        found = left.pop()
        if id(found) not in seen and not isinstance(found, CODE_TYPES):
            seen[id(found)] = found
            left.extend(gc.get_referents(found))
    return {found for found in seen.values() if isinstance(found, str)}


async def test_no_bearer_token_is_kept_in_memory(forge: Forge) -> None:
    """The cache contains digests and values, and no token of either kind."""
    verifier = Publisher(forge.key_set("A")).verifier()
    tokens = [forge.token(), forge.token(forge.claims(drn="DSR"))]
    assert (await verifier.verify_session(tokens[0])).user.id == "U2forge"
    assert (await verifier.verify_refresh_token(tokens[1])).text == tokens[1]
    texts = strings_in(verifier)
    assert "U2forge" in texts
    assert not texts.intersection(tokens)
