"""Documents that are not key sets, and members of key sets that are not usable keys (JW-08 to JW-11)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping

from fastapi_descope._tokens.jwks import RejectReason
from tests.helpers.tampering import Forge

Change = Callable[[int], object]


def encode(number: int, *, octets: int = 0) -> str:
    """Return a number as a Base64urlUInt of at least ``octets`` bytes."""
    raw = number.to_bytes(max(octets, (number.bit_length() + 7) // 8))
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: object) -> int:
    """Return the number in a member that ``encode`` wrote."""
    return int.from_bytes(urlsafe_b64decode(f"{text}=="))


DOCUMENTS: Mapping[str, bytes] = {
    "empty": b"",
    "html": b"<!doctype html><title>Sign in to the WiFi</title>",
    "null": b"null",
    "text": b'"keys"',
    "number": b"1",
    "bare list": b"[]",
    "object": b"{}",
    "error": b'{"errorCode":"E011001","errorDescription":"Request is invalid"}',
    "keys null": b'{"keys":null}',
    "keys object": b'{"keys":{}}',
    "keys text": b'{"keys":"[]"}',
    "keys number": b'{"keys":1}',
    "Keys": b'{"Keys":[]}',
    "truncated": b'{"keys":[{"kty":"RSA"',
    "trailing data": b'{"keys":[]}x',
    "two documents": b'{"keys":[]}{"keys":[]}',
    "keys twice": b'{"keys":[],"keys":[]}',
    "bom": b'\xef\xbb\xbf{"keys":[]}',
    "utf-16": '{"keys":[]}'.encode("utf-16"),
    "not utf-8": b'{"keys":["\xff"]}',
    "NaN": b'{"keys":[NaN]}',
    "lone surrogate": b'{"keys":[{"kid":"\\ud800"}]}',
    "deep": b'{"keys":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03",
}

NOT_KEYS: tuple[object, ...] = (None, True, 1, 1.5, "key", [], ["RSA"], {}, {"kid": "X"})

REJECTED_KEYS: Mapping[str, tuple[Mapping[str, object], RejectReason]] = {
    "kty missing": ({"kty": ...}, RejectReason.TYPE),
    "kty EC": ({"kty": "EC"}, RejectReason.TYPE),
    "kty oct": ({"kty": "oct"}, RejectReason.TYPE),
    "kty OKP": ({"kty": "OKP"}, RejectReason.TYPE),
    "kty lower": ({"kty": "rsa"}, RejectReason.TYPE),
    "kty list": ({"kty": ["RSA"]}, RejectReason.TYPE),
    "kty int": ({"kty": 1}, RejectReason.TYPE),
    "alg missing": ({"alg": ...}, RejectReason.ALGORITHM),
    "alg RS384": ({"alg": "RS384"}, RejectReason.ALGORITHM),
    "alg PS256": ({"alg": "PS256"}, RejectReason.ALGORITHM),
    "alg HS256": ({"alg": "HS256"}, RejectReason.ALGORITHM),
    "alg ES384": ({"alg": "ES384"}, RejectReason.ALGORITHM),
    "alg none": ({"alg": "none"}, RejectReason.ALGORITHM),
    "alg lower": ({"alg": "rs256"}, RejectReason.ALGORITHM),
    "alg list": ({"alg": ["RS256"]}, RejectReason.ALGORITHM),
    "use enc": ({"use": "enc"}, RejectReason.USE),
    "use empty": ({"use": ""}, RejectReason.USE),
    "use list": ({"use": ["sig"]}, RejectReason.USE),
    "key_ops sign": ({"key_ops": ["sign"]}, RejectReason.USE),
    "key_ops both": ({"key_ops": ["sign", "verify"]}, RejectReason.USE),
    "key_ops empty": ({"key_ops": []}, RejectReason.USE),
    "key_ops text": ({"key_ops": "verify"}, RejectReason.USE),
    "key_ops twice": ({"key_ops": ["verify", "verify"]}, RejectReason.USE),
    "kid missing": ({"kid": ...}, RejectReason.KEY_ID),
    "kid empty": ({"kid": ""}, RejectReason.KEY_ID),
    "kid int": ({"kid": 1}, RejectReason.KEY_ID),
    "kid list": ({"kid": ["B"]}, RejectReason.KEY_ID),
    "kid 257": ({"kid": "B" * 257}, RejectReason.KEY_ID),
    "n missing": ({"n": ...}, RejectReason.MODULUS),
    "n empty": ({"n": ""}, RejectReason.MODULUS),
    "n int": ({"n": 65537}, RejectReason.MODULUS),
    "n list": ({"n": ["AQAB"]}, RejectReason.MODULUS),
    "n object": ({"n": {}}, RejectReason.MODULUS),
    "n small": ({"n": "AQAB"}, RejectReason.MODULUS),
    "n not ascii": ({"n": "\u0410QAB"}, RejectReason.MODULUS),
    "n 8193 bits": ({"n": encode(2**8192 + 1)}, RejectReason.MODULUS),
    "n a million bits": ({"n": encode(2**300_000 + 1)}, RejectReason.MODULUS),
    "e missing": ({"e": ...}, RejectReason.EXPONENT),
    "e empty": ({"e": ""}, RejectReason.EXPONENT),
    "e int": ({"e": 65537}, RejectReason.EXPONENT),
    "e list": ({"e": ["AQAB"]}, RejectReason.EXPONENT),
    "e 0": ({"e": "AA"}, RejectReason.EXPONENT),
    "e 1": ({"e": "AQ"}, RejectReason.EXPONENT),
    "e 3": ({"e": "Aw"}, RejectReason.EXPONENT),
    "e 65535": ({"e": encode(65535)}, RejectReason.EXPONENT),
    "e 65536": ({"e": encode(65536)}, RejectReason.EXPONENT),
    "e 65538": ({"e": encode(65538)}, RejectReason.EXPONENT),
    "e 2^32": ({"e": encode(2**32)}, RejectReason.EXPONENT),
    "e 2^32 + 1": ({"e": encode(2**32 + 1)}, RejectReason.EXPONENT),
    "e huge": ({"e": encode(2**2040 + 1)}, RejectReason.EXPONENT),
    "e padded": ({"e": "AQAB="}, RejectReason.EXPONENT),
    "e with a leading zero": ({"e": "AAEAAQ"}, RejectReason.EXPONENT),
    "e with unused bits": ({"e": "AQABAB"}, RejectReason.EXPONENT),
    "e with white space": ({"e": "AQAB\n"}, RejectReason.EXPONENT),
    "d": ({"d": "AQAB"}, RejectReason.PRIVATE),
    "d empty": ({"d": ""}, RejectReason.PRIVATE),
    "p": ({"p": "AQAB"}, RejectReason.PRIVATE),
    "q": ({"q": "AQAB"}, RejectReason.PRIVATE),
    "dp": ({"dp": "AQAB"}, RejectReason.PRIVATE),
    "dq": ({"dq": "AQAB"}, RejectReason.PRIVATE),
    "qi": ({"qi": "AQAB"}, RejectReason.PRIVATE),
    "oth": ({"oth": []}, RejectReason.PRIVATE),
    "k": ({"kty": "oct", "k": "AQAB"}, RejectReason.PRIVATE),
}

MODULI: Mapping[str, Change] = {
    "even": lambda n: encode(n + 1),
    "2047 bits": lambda n: encode(n >> 1 | 1),
    "leading zero": lambda n: encode(n, octets=257),
    "padded": lambda n: encode(n) + "==",
    "unused bits": lambda n: encode(n)[:-1] + chr(ord(encode(n)[-1]) + 1),
    "white space": lambda n: f"{encode(n)} ",
    "other alphabet": lambda n: "+" + encode(n)[1:],
}

KeySetRecipe = Callable[[Forge], bytes]


def _constant(body: bytes) -> KeySetRecipe:
    return lambda _forge: body


def _of(*members: object) -> KeySetRecipe:
    return lambda forge: forge.key_set(*members)


def _with_tampered_key(changes: Mapping[str, object], *, good: bool) -> KeySetRecipe:
    """Return a set with a tampered key. If ``good``, key A is good in it; else key A is the tampered one."""
    if good:
        return lambda forge: forge.key_set(forge.jwk("B", **changes), "A")
    return lambda forge: forge.key_set(forge.jwk("A", **{"kid": "A", **changes}))


def _with_modulus(change: Change, *, good: bool) -> KeySetRecipe:
    def build(forge: Forge) -> bytes:
        member = forge.jwk("B" if good else "A")
        tampered = member | {"n": change(decode(member["n"]))}
        return forge.key_set(tampered, "A") if good else forge.key_set(tampered)

    return build


def _leak(*, good: bool) -> KeySetRecipe:
    """Publish a private key under another id, which makes its public half unusable (JW-10)."""

    def build(forge: Forge) -> bytes:
        name = "B" if good else "A"
        leaked = forge.jwk(name, kid="leak", d=encode(forge.private(name).private_numbers().d))
        return forge.key_set(leaked, *dict.fromkeys((name, "A")))

    return build


UNUSABLE: Mapping[str, KeySetRecipe] = {
    **{f"JW-08 {name}": _constant(body) for name, body in DOCUMENTS.items()},
    **{f"JW-09 only {member!r}": _of(member) for member in NOT_KEYS},
    **{
        f"JW-10 only {name}": _with_tampered_key(changes, good=False)
        for name, (changes, _) in REJECTED_KEYS.items()
    },
    **{f"JW-10 only modulus {name}": _with_modulus(c, good=False) for name, c in MODULI.items()},
    "JW-08 no member": lambda forge: forge.key_set(),
    "JW-10 1024 bits": lambda forge: forge.key_set(forge.jwk("A", 1024)),
    "JW-10 two keys of one id": lambda forge: forge.key_set("A", forge.jwk("B", kid="A")),
    "JW-10 leaked": _leak(good=False),
    "JW-11 one byte too many": lambda forge: forge.key_set("A").ljust(65_537),
    "JW-11 64 MiB": lambda forge: forge.key_set("A").ljust(64 * 1024 * 1024),
    "JW-11 33 members": lambda forge: forge.key_set("A", *[None] * 32),
}
"""Key sets without a usable key."""

MIXED: Mapping[str, KeySetRecipe] = {
    **{f"JW-09 with {member!r}": _of(member, "A") for member in NOT_KEYS},
    **{
        f"JW-10 with {name}": _with_tampered_key(changes, good=True)
        for name, (changes, _) in REJECTED_KEYS.items()
    },
    **{f"JW-10 with modulus {name}": _with_modulus(c, good=True) for name, c in MODULI.items()},
    "JW-10 with 1024 bits": lambda forge: forge.key_set(forge.jwk("B", 1024), "A"),
    "JW-10 with two keys of one id": lambda f: f.key_set("B", "A", f.jwk("C", kid="B")),
    "JW-10 with leaked": _leak(good=True),
    "JW-11 with exactly 64 KiB": lambda forge: forge.key_set("A").ljust(65_536),
    "JW-11 with exactly 32 members": lambda forge: forge.key_set("A", *[None] * 31),
}
"""Key sets in which only key A is usable."""
