"""A key set is parsed strictly, and only its usable keys are returned.

Requirements JW-08 to JW-11. The members are real keys, tampered with.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256

import pytest

from fastapi_descope._tokens.jwks import RejectReason, parse_key_set
from fastapi_descope.errors import InvalidUpstreamResponse
from fastapi_descope.session import Claims
from tests.helpers.tampering import Forge
from tests.hostile.tables.key_sets import DOCUMENTS, MODULI, NOT_KEYS, REJECTED_KEYS, decode, encode

Change = Callable[[int], object]


def kid_hash(kid: str) -> str:
    """Return the hash that the log shows for a key id."""
    return sha256(kid.encode()).hexdigest()[:12]


def test_every_good_key_is_returned_by_its_id(forge: Forge) -> None:
    """No key is rejected."""
    found = parse_key_set(forge.key_set("A", "B"))
    assert {kid: key.kid for kid, key in found.keys.items()} == {"A": "A", "B": "B"}
    assert found.rejected == ()


def test_jw14_the_keys_cannot_be_changed(forge: Forge) -> None:
    """Requests share the mapping of the keys, so it is read-only."""
    keys = parse_key_set(forge.key_set("A")).keys
    assert not hasattr(keys, "__setitem__")
    assert parse_key_set(forge.key_set("A")).keys == keys


@pytest.mark.parametrize("body", DOCUMENTS.values(), ids=DOCUMENTS)
def test_jw08_a_document_that_is_not_a_key_set_is_an_error(body: bytes) -> None:
    """Such a document is never treated as an empty key set."""
    with pytest.raises(InvalidUpstreamResponse) as caught:
        parse_key_set(body)
    assert caught.value.reason == "not_a_key_set"
    assert caught.value.__context__ is None


@pytest.mark.parametrize("members", [(), (None,), ({},), ({"kty": "RSA"}, 1)], ids=repr)
def test_jw08_a_key_set_without_a_usable_key_is_an_error(forge: Forge, members: tuple[object, ...]) -> None:
    """It is a failed fetch, so that the previous keys stay in force."""
    with pytest.raises(InvalidUpstreamResponse) as caught:
        parse_key_set(forge.key_set(*members))
    assert caught.value.reason == "no_usable_key"


def test_jw11_a_key_set_has_at_most_64_kib(forge: Forge) -> None:
    """A body of exactly 64 KiB is parsed, and one byte more is an error."""
    body = forge.key_set("A")
    assert list(parse_key_set(body + b" " * (65536 - len(body))).keys) == ["A"]
    with pytest.raises(InvalidUpstreamResponse) as caught:
        parse_key_set(body + b" " * (65537 - len(body)))
    assert caught.value.reason == "key_set_too_large"


def test_jw11_a_key_set_has_at_most_32_keys(forge: Forge) -> None:
    """Unusable keys count, too."""
    assert list(parse_key_set(forge.key_set("A", *[None] * 31)).keys) == ["A"]
    with pytest.raises(InvalidUpstreamResponse) as caught:
        parse_key_set(forge.key_set("A", *[None] * 32))
    assert caught.value.reason == "too_many_keys"


@pytest.mark.parametrize("member", NOT_KEYS, ids=repr)
def test_jw09_a_member_that_is_not_a_key_is_skipped(forge: Forge, member: object) -> None:
    """The good key is used, whether it comes before or after the bad member."""
    for members in ((member, "A"), ("A", member)):
        found = parse_key_set(forge.key_set(*members))
        assert list(found.keys) == ["A"]
        assert [key.reason for key in found.rejected] == [RejectReason.TYPE]


@pytest.mark.parametrize(("changes", "reason"), REJECTED_KEYS.values(), ids=REJECTED_KEYS)
def test_jw10_an_unusable_key_is_rejected_with_a_reason(
    forge: Forge, changes: Mapping[str, object], reason: RejectReason
) -> None:
    """A real key with one fault is rejected, and the good keys are used."""
    member = forge.jwk("B", **changes)
    found = parse_key_set(forge.key_set("A", member, "C"))
    assert list(found.keys) == ["A", "C"]
    (rejected,) = found.rejected
    kid = member.get("kid")
    assert (rejected.kid_hash, rejected.reason) == (kid_hash(kid) if isinstance(kid, str) else "-", reason)


@pytest.mark.parametrize("change", MODULI.values(), ids=MODULI)
def test_jw10_a_modulus_is_odd_long_and_canonical(forge: Forge, change: Change) -> None:
    """Another encoding of a good modulus is rejected like a bad modulus."""
    member = forge.jwk("B")
    tampered = member | {"n": change(decode(member["n"]))}
    found = parse_key_set(forge.key_set("A", tampered))
    assert [key.reason for key in found.rejected] == [RejectReason.MODULUS]


@pytest.mark.parametrize(("bits", "usable"), [(1024, False), (2048, True), (3072, True), (4096, True)])
def test_jw10_keys_shorter_than_2048_bits_are_rejected(forge: Forge, bits: int, *, usable: bool) -> None:
    """A real key of 1024 bits is rejected."""
    found = parse_key_set(forge.key_set("A", forge.jwk("short", bits)))
    assert ("short" in found.keys) is usable


USABLE: Mapping[str, Mapping[str, object]] = {
    "without use": {"use": ...},
    "for verifying": {"key_ops": ["verify"]},
    "with unknown members": {"x5t": "AA", "iat": 1, "nested": {"a": [1]}},
    "with a certificate": {"x5c": ["AA=="]},
    "with a long id": {"kid": "k" * 256},
    "with an odd id": {"kid": "../\U0001f600 "},
    "with 8192 bits": {"n": encode(2**8192 - 1)},
    "with another exponent": {"e": encode(2**32 - 1)},
}


@pytest.mark.parametrize("changes", USABLE.values(), ids=USABLE)
def test_a_key_that_breaks_no_rule_is_used(forge: Forge, changes: Mapping[str, object]) -> None:
    """Unknown members, other exponents and unusual key ids are allowed."""
    member = forge.jwk("A", **changes)
    assert list(parse_key_set(forge.key_set(member)).keys) == [member["kid"]]


@pytest.mark.parametrize("order", [("B", "C", "A"), ("A", "B", "C"), ("B", "A", "C")])
def test_jw10_two_keys_with_one_id_are_both_rejected(forge: Forge, order: tuple[str, ...]) -> None:
    """It is unknown which of them is meant, so neither is used, in any order."""
    members = [forge.jwk(name, kid="A" if name == "A" else "same") for name in order]
    found = parse_key_set(forge.key_set(*members))
    assert list(found.keys) == ["A"]
    assert [(key.kid_hash, key.reason) for key in found.rejected] == [
        (kid_hash("same"), RejectReason.AMBIGUOUS)
    ]


def test_one_key_listed_twice_is_one_key(forge: Forge) -> None:
    """The same key id with the same key is no conflict."""
    found = parse_key_set(forge.key_set("A", "A"))
    assert (list(found.keys), found.rejected) == (["A"], ())


def test_jw10_a_published_private_key_rejects_its_public_half(forge: Forge) -> None:
    """Anyone can sign with that key, so its public half is rejected under any other id, too."""
    secret = encode(forge.private("B").private_numbers().d)
    leak = forge.jwk("B", kid="leak", d=secret)
    for members in ((leak, "B", "A"), ("A", "B", leak)):
        found = parse_key_set(forge.key_set(*members))
        assert list(found.keys) == ["A"]
        assert [key.reason for key in found.rejected] == [RejectReason.PRIVATE] * 2


def test_a_private_key_without_modulus_rejects_no_other_key(forge: Forge) -> None:
    """Keys without a modulus are not taken for the same key."""
    found = parse_key_set(forge.key_set("A", {"kty": "oct", "k": "AA"}, {"kty": "EC"}))
    assert list(found.keys) == ["A"]
    assert [key.reason for key in found.rejected] == [RejectReason.PRIVATE, RejectReason.TYPE]


def test_a_parsed_key_verifies_a_token(forge: Forge, verify_token: Callable[..., Claims]) -> None:
    """A parsed key is ready to use, under any id and next to broken keys."""
    keys = parse_key_set(forge.key_set(None, forge.jwk("A", kid="k"), forge.jwk("B", n="AQAB"))).keys
    token = forge.token(header={"alg": "RS256", "kid": "k"})
    assert verify_token(token, keys=keys)["sub"] == "U2forge"
