"""Tokens that are not valid: real tokens, tampered with (requirements 2.1).

A recipe creates one token. Its second argument is the ``drn`` of a valid one, "DS" or "DSR".
"""

import hmac
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping

from tests.helpers.tampering import NOW, Forge, encode, segment, with_segment
from tests.hostile.tables.claims import AUDIENCES, ISSUERS, KINDS, NOT_TIMES, SUBJECTS
from tests.hostile.tables.token_forms import NOT_STRICT_OBJECTS, NOT_TOKENS, RESHAPED, Tamper
from tests.hostile.tables.token_headers import ALGORITHMS, EXTENSIONS, KIDS, UNKNOWN_KIDS, hmac_secrets

Recipe = Callable[[Forge, str], object]
Recipes = Mapping[str, Recipe]


def valid_token(forge: Forge, drn: str = "DS", **changes: object) -> str:
    """Return a valid token, with changes to its claims."""
    return forge.token(forge.claims(**{"drn": drn, **changes}))


def _constant(value: object) -> Recipe:
    return lambda _forge, _drn: value


def _tampered(tamper: Tamper) -> Recipe:
    return lambda forge, drn: tamper(valid_token(forge, drn))


def _claims(**changes: object) -> Recipe:
    return lambda forge, drn: forge.token(forge.claims(**{"drn": drn, **changes}))


def _signed(raw: bytes) -> Recipe:
    return lambda forge, _drn: forge.token(raw)


def _header(header: object, key: str = "A") -> Recipe:
    return lambda forge, drn: forge.token(forge.claims(drn=drn), header=header, key=key)


def _headers(member: str, values: Mapping[str, object]) -> Recipes:
    base: Mapping[str, object] = {"alg": "RS256", "kid": "A"}
    headers = {name: {**base, member: value} for name, value in values.items()}
    return {
        name: _header({key: value for key, value in header.items() if value is not ...})
        for name, header in headers.items()
    }


def _signature(change: Callable[[bytes], bytes]) -> Recipe:
    def tamper(token: str) -> object:
        return with_segment(token, 2, encode(change(urlsafe_b64decode(segment(token, 2) + "=="))))

    return _tampered(tamper)


def _flip(bit: int) -> Recipe:
    def change(raw: bytes) -> bytes:
        place, mask = bit // 8, 1 << bit % 8
        return raw[:place] + bytes([raw[place] ^ mask]) + raw[place + 1 :]

    return _signature(change)


def _mac(alg: str, index: int) -> Recipe:
    def make(forge: Forge, drn: str) -> object:
        token = forge.token(forge.claims(drn=drn), header={"alg": alg, "kid": "A"})
        secret = list(hmac_secrets(forge.private("A"), forge.jwk("A")))[index]
        text = token.rpartition(".")[0]
        return f"{text}.{encode(hmac.digest(secret, text.encode(), 'sha256'))}"

    return make


def _with_other_segment(index: int, **changes: object) -> Recipe:
    """Return a valid token with one segment of another valid token."""
    return lambda forge, drn: with_segment(
        valid_token(forge, drn),
        index,
        segment(valid_token(forge, drn, **(changes or {"sub": "U2other"})), index),
    )


def _other_kind(forge: Forge, drn: str) -> object:
    return valid_token(forge, {"DS": "DSR", "DSR": "DS"}[drn])


_SIZES = (8_193, 9_000, 65_536, 2_000_000)

TOKENS: Mapping[str, Recipes] = {
    "TV-01-not-a-token": {name: _constant(value) for name, value in NOT_TOKENS.items()},
    "TV-01-TV-03-encoding": {name: _tampered(tamper) for name, tamper in RESHAPED.items()},
    "TV-02-size": {
        **{f"junk of {size}": _constant("!" * size) for size in _SIZES},
        **{f"dots of {size}": _constant("." * size) for size in _SIZES},
        "claims of 8 KiB": _claims(pad="x" * 8_192),
        "header of 2 KiB": _header({"alg": "RS256", "kid": "A", "pad": "x" * 1_536}),
    },
    "TV-04-claims": {name: _signed(raw) for name, raw in NOT_STRICT_OBJECTS.items()},
    "TV-04-header": {name: _header(raw) for name, raw in NOT_STRICT_OBJECTS.items()},
    "TV-05-algorithm": _headers("alg", ALGORITHMS),
    "TV-06-confusion": {
        f"{alg} {index}": _mac(alg, index) for alg in ("HS256", "RS256") for index in range(7)
    },
    "TV-07-key-id": {
        **_headers("kid", KIDS),
        **_headers("kid", {f"unknown {kid[:4]!a} of {len(kid)}": kid for kid in UNKNOWN_KIDS}),
        "key of another id": _header({"alg": "RS256", "kid": "B"}),
        "id of another key": _header({"alg": "RS256", "kid": "A"}, key="B"),
        "unpublished key": _header(None, key="E"),
    },
    "TV-08-TV-10-header": {
        name: _header({"alg": "RS256", "kid": "A", **extra}) for name, extra in EXTENSIONS.items()
    },
    "TV-11-TV-12-times": {
        **{
            f"{claim} {name}": _claims(**{claim: value})
            for claim in ("exp", "iat", "nbf")
            for name, value in NOT_TIMES.items()
        },
        "exp missing": _claims(exp=...),
        "iat missing": _claims(iat=...),
        "exp is iat": _claims(exp=NOW),
        "exp before iat": _claims(exp=NOW - 1),
        "iat in the future": _claims(iat=NOW + 6),
        "nbf in the future": _claims(nbf=NOW + 6),
    },
    "TV-11-expired": {
        f"{seconds} s ago": _claims(iat=NOW - 86_400, exp=NOW - seconds) for seconds in (5, 6, 60, 3_600)
    },
    "TV-13-issuer": {name: _claims(iss=value) for name, value in ISSUERS.items()},
    "TV-14-audience": {name: _claims(aud=value) for name, value in AUDIENCES.items()},
    "TV-15-user": {
        **{f"{key} {name}": _claims(**{key: v}) for key in ("sub", "dsub") for name, v in SUBJECTS.items()},
        "sub missing": _claims(sub=...),
        "sub missing with dsub": _claims(sub=..., dsub="U2forge"),
    },
    "KD-01-KD-07-kind": {
        **{name: _claims(drn=value) for name, value in KINDS.items()},
        "the other kind": _other_kind,
    },
    "TV-16-signature": {
        **{f"bit {bit}": _flip(bit) for bit in range(0, 2_048, 97)},
        "rotated": _signature(lambda raw: raw[1:] + raw[:1]),
        "shortened": _signature(lambda raw: raw[:-1]),
        "extended": _signature(lambda raw: b"\0" + raw),
        "repeated": _signature(lambda raw: raw * 2),
        "zeros": _signature(lambda raw: bytes(len(raw))),
        "ones": _signature(lambda raw: b"\xff" * len(raw)),
        "claims of another token": _with_other_segment(1),
        "signature of another token": _with_other_segment(2),
        "expired and unsigned": _with_other_segment(1, iat=NOW - 86_400, exp=NOW - 3_600),
    },
}
"""Recipes by group and name."""


def string_tokens(forge: Forge, group: str, drn: str = "DS") -> dict[str, str]:
    """Return the tokens of a group that are strings, by name. Only these can be sent in a request."""
    made = {name: recipe(forge, drn) for name, recipe in TOKENS[group].items()}
    return {name: token for name, token in made.items() if isinstance(token, str)}
