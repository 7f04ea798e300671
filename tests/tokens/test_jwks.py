"""A key set is read strictly, and only the keys that may be trusted come out of it.

Requirements JW-08 to JW-11. Members are real keys, tampered with; the good key beside them stays usable.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256

import pytest

from fastapi_descope._tokens.jwks import RejectReason, parse_key_set
from fastapi_descope.errors import InvalidUpstreamResponse
from fastapi_descope.session import Claims
from tests.helpers.tampering import Forge
from tests.hostile.tables.key_sets import DOCUMENTS, MODULI, NOT_KEYS, UNFIT, decode, encode

Change = Callable[[int], object]


def kid_hash(kid: str) -> str:
    """What stands for a key id in the log."""
    return sha256(kid.encode()).hexdigest()[:12]


def test_a_key_set_gives_its_keys_by_id(forge: Forge) -> None:
    """Every good member is there, under its own id, and nothing is reported."""
    found = parse_key_set(forge.key_set("A", "B"))
    assert {kid: key.kid for kid, key in found.keys.items()} == {"A": "A", "B": "B"}
    assert found.rejected == ()


def test_jw14_the_keys_cannot_be_changed(forge: Forge) -> None:
    """A set is handed out as it is and replaced as a whole, so nobody may write into it."""
    keys = parse_key_set(forge.key_set("A")).keys
    assert not hasattr(keys, "__setitem__")
    assert parse_key_set(forge.key_set("A")).keys == keys


@pytest.mark.parametrize("body", DOCUMENTS.values(), ids=DOCUMENTS)
def test_jw08_what_is_no_key_set_is_nonsense(body: bytes) -> None:
    """An answer that is not a key set never looks like an empty one."""
    with pytest.raises(InvalidUpstreamResponse) as caught:
        parse_key_set(body)
    assert caught.value.reason == "not_a_key_set"
    assert caught.value.__context__ is None


@pytest.mark.parametrize("members", [(), (None,), ({},), ({"kty": "RSA"}, 1)], ids=repr)
def test_jw08_a_set_without_a_usable_key_is_nonsense(forge: Forge, members: tuple[object, ...]) -> None:
    """No usable key is a failure, so that the keys of before stay in force."""
    with pytest.raises(InvalidUpstreamResponse) as caught:
        parse_key_set(forge.key_set(*members))
    assert caught.value.reason == "no_usable_key"


def test_jw11_a_set_has_64_kib_at_most(forge: Forge) -> None:
    """A body of exactly the bound is read, one byte more is not."""
    body = forge.key_set("A")
    assert list(parse_key_set(body + b" " * (65536 - len(body))).keys) == ["A"]
    with pytest.raises(InvalidUpstreamResponse) as caught:
        parse_key_set(body + b" " * (65537 - len(body)))
    assert caught.value.reason == "key_set_too_large"


def test_jw11_a_set_has_32_keys_at_most(forge: Forge) -> None:
    """All members count, the unusable ones too."""
    assert list(parse_key_set(forge.key_set("A", *[None] * 31)).keys) == ["A"]
    with pytest.raises(InvalidUpstreamResponse) as caught:
        parse_key_set(forge.key_set("A", *[None] * 32))
    assert caught.value.reason == "too_many_keys"


@pytest.mark.parametrize("member", NOT_KEYS, ids=repr)
def test_jw09_what_is_no_key_spoils_no_key(forge: Forge, member: object) -> None:
    """A member that is no key is left out, whether it stands before the good one or behind it."""
    for members in ((member, "A"), ("A", member)):
        found = parse_key_set(forge.key_set(*members))
        assert list(found.keys) == ["A"]
        assert [key.reason for key in found.rejected] == [RejectReason.TYPE]


@pytest.mark.parametrize(("changes", "reason"), UNFIT.values(), ids=UNFIT)
def test_jw10_an_unfit_key_is_dropped_for_a_reason(
    forge: Forge, changes: Mapping[str, object], reason: RejectReason
) -> None:
    """A real key with one fault is left out, the good ones around it are used."""
    member = forge.jwk("B", **changes)
    found = parse_key_set(forge.key_set("A", member, "C"))
    assert list(found.keys) == ["A", "C"]
    (dropped,) = found.rejected
    kid = member.get("kid")
    assert (dropped.kid_hash, dropped.reason) == (kid_hash(kid) if isinstance(kid, str) else "-", reason)


@pytest.mark.parametrize("change", MODULI.values(), ids=MODULI)
def test_jw10_a_modulus_is_odd_long_and_canonical(forge: Forge, change: Change) -> None:
    """Another spelling of a good modulus is as unfit as a bad one."""
    member = forge.jwk("B")
    tampered = member | {"n": change(decode(member["n"]))}
    found = parse_key_set(forge.key_set("A", tampered))
    assert [key.reason for key in found.rejected] == [RejectReason.MODULUS]


@pytest.mark.parametrize(("bits", "fits"), [(1024, False), (2048, True), (3072, True), (4096, True)])
def test_jw10_short_keys_are_unfit(forge: Forge, bits: int, *, fits: bool) -> None:
    """A modulus has 2048 bits at least; a real key of 1024 is dropped."""
    found = parse_key_set(forge.key_set("A", forge.jwk("short", bits)))
    assert ("short" in found.keys) is fits


FIT: Mapping[str, Mapping[str, object]] = {
    "without use": {"use": ...},
    "for verifying": {"key_ops": ["verify"]},
    "with unknown members": {"x5t": "AA", "iat": 1, "nested": {"a": [1]}},
    "with a certificate": {"x5c": ["AA=="]},
    "with a long id": {"kid": "k" * 256},
    "with an odd id": {"kid": "../\U0001f600 "},
    "with 8192 bits": {"n": encode(2**8192 - 1)},
    "with another exponent": {"e": encode(2**32 - 1)},
}


@pytest.mark.parametrize("changes", FIT.values(), ids=FIT)
def test_other_keys_are_fit(forge: Forge, changes: Mapping[str, object]) -> None:
    """What the rules do not forbid is used."""
    member = forge.jwk("A", **changes)
    assert list(parse_key_set(forge.key_set(member)).keys) == [member["kid"]]


@pytest.mark.parametrize("order", [("B", "C", "A"), ("A", "B", "C"), ("B", "A", "C")])
def test_jw10_two_keys_of_one_id_are_both_dropped(forge: Forge, order: tuple[str, ...]) -> None:
    """It cannot be told which of the two is meant, so neither is used, whatever their order."""
    members = [forge.jwk(name, kid="A" if name == "A" else "same") for name in order]
    found = parse_key_set(forge.key_set(*members))
    assert list(found.keys) == ["A"]
    assert [(key.kid_hash, key.reason) for key in found.rejected] == [
        (kid_hash("same"), RejectReason.AMBIGUOUS)
    ]


def test_one_key_listed_twice_is_one_key(forge: Forge) -> None:
    """The same id with the same material is no contradiction."""
    found = parse_key_set(forge.key_set("A", "A"))
    assert (list(found.keys), found.rejected) == (["A"], ())


def test_jw10_a_published_private_key_spoils_its_public_half(forge: Forge) -> None:
    """Whoever read the set can sign with that key, so its public half under another id is dropped too."""
    secret = encode(forge.private("B").private_numbers().d)
    leak = forge.jwk("B", kid="leak", d=secret)
    for members in ((leak, "B", "A"), ("A", "B", leak)):
        found = parse_key_set(forge.key_set(*members))
        assert list(found.keys) == ["A"]
        assert [key.reason for key in found.rejected] == [RejectReason.PRIVATE] * 2


def test_a_leak_without_a_modulus_spoils_no_other_key(forge: Forge) -> None:
    """Members that have no modulus are not taken for the same key."""
    found = parse_key_set(forge.key_set("A", {"kty": "oct", "k": "AA"}, {"kty": "EC"}))
    assert list(found.keys) == ["A"]
    assert [key.reason for key in found.rejected] == [RejectReason.PRIVATE, RejectReason.TYPE]


def test_a_parsed_key_verifies(forge: Forge, token_verify: Callable[..., Claims]) -> None:
    """Keys come out ready to use, beside broken ones and under any id."""
    keys = parse_key_set(forge.key_set(None, forge.jwk("A", kid="k"), forge.jwk("B", n="AQAB"))).keys
    token = forge.token(header={"alg": "RS256", "kid": "k"})
    assert token_verify(token, keys=keys)["sub"] == "U2forge"
