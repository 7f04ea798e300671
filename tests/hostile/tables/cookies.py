"""Cookie headers that must not authenticate a request (requirements CK-01 to CK-03, CK-08, CK-11)."""

from collections.abc import Callable, Mapping
from hashlib import sha256

OTHER_NAMES: Mapping[str, bytes] = {
    "empty": b"",
    "nbsp-before-name": b"\xa0DS=a.b.c",
    "nbsp-after-name": b"DS\xa0=a.b.c",
    "next-line-before-name": b"\x85DS=a.b.c",
    "unit-separator-before-name": b"\x1fDS=a.b.c",
    "vertical-tab-before-name": b"\x0bDS=a.b.c",
    "form-feed-before-name": b"\x0cDS=a.b.c",
    "carriage-return-before-name": b"\rDS=a.b.c",
    "newline-before-name": b"\nDS=a.b.c",
    "nul-before-name": b"\x00DS=a.b.c",
    "em-space-before-name": b"\xe2\x80\x83DS=a.b.c",
    "byte-order-mark": b"\xef\xbb\xbfDS=a.b.c",
    "space-after-name": b"DS =a.b.c",
    "tab-after-name": b"DS\t=a.b.c",
    "lower-case": b"ds=a.b.c",
    "mixed-case": b"Ds=a.b.c",
    "dollar": b"$DS=a.b.c",
    "version-with-comma": b"$Version=1, DS=a.b.c",
    "quoted-name": b'"DS"=a.b.c',
    "nameless": b"=DS=a.b.c",
    "nameless-token": b"=a.b.c",
    "no-equals": b"DS",
    "percent-encoded-name": b"%44%53=a.b.c",
    "suffix-of-another": b"xDS=a.b.c",
    "prefix-of-another": b"DSX=a.b.c",
    "dot": b"DS.=a.b.c",
    "fifth-chunk": b"DS.4=12345678~2~x",
    "two-digit-chunk": b"DS.00=12345678~2~x",
    "negative-chunk": b"DS.-1=12345678~2~x",
    "superscript-chunk": b"DS.\xb2=12345678~2~x",
    "CK-03-prefixed-is-another-name": b"__Host-DS=a.b.c",
    "CK-03-secure-is-another-name": b"__Secure-DSR=a.b.c",
    "comma-does-not-split": b"a=1, DS=a.b.c",
}
"""A valid token under a cookie name that only resembles that of the plugin."""

OTHER_VALUES: Mapping[str, bytes] = {
    "empty": b"",
    "one-part": b"a",
    "two-parts": b"a.b",
    "four-parts": b"a.b.c.d",
    "jwe": b"a.b.c.d.e",
    "empty-middle": b"a..c",
    "empty-start": b".b.c",
    "empty-end": b"a.b.",
    "quoted": b'"a.b.c"',
    "octal": b'"a.b.c\\012Host: evil"',
    "space-before": b" a.b.c",
    "space-inside": b"a.b. c",
    "nbsp-after": b"a.b.c\xa0",
    "newline-after": b"a.b.c\n",
    "nul-after": b"a.b.c\x00",
    "comma": b"a.b.c,d.e.f",
    "padded": b"a.b.c=",
    "second-equals": b"=a.b.c",
    "other-alphabet": b"a.b.c+",
    "percent": b"a%2eb.c.d",
    "utf-8": b"a.b.\xc3\xa9",
    "arabic-digit": b"a.b.\xd9\xa1",
    "undefined": b"undefined",
}
"""Malformed tokens under the cookie name of the plugin."""

AMBIGUOUS: Mapping[str, list[bytes]] = {
    "one-header": [b"DS=a.b.c; DS=x.y.z"],
    "two-headers": [b"DS=a.b.c", b"DS=x.y.z"],
    "three-of-two": [b"DS=a.b.c", b"x=1", b"DS=a.b.c; DS=x.y.z"],
    "refresh": [b"DSR=d.e.f; DS=a.b.c; DSR=x.y.z"],
    "CK-11-tossed": [b"DS=x.y.z; theme=dark; DS=a.b.c; DSR=d.e.f"],
}
"""Cookie headers in which one name has two values."""

CookieRecipe = Callable[[bytes, bytes], list[bytes]]


def _filled(*lines: bytes) -> CookieRecipe:
    """Return headers with the two tokens instead of ``a.b.c`` and ``x.y.z``."""
    return lambda token, other: [line.replace(b"a.b.c", token).replace(b"x.y.z", other) for line in lines]


def chunks(token: bytes, count: int, *, name: bytes = b"DS") -> list[bytes]:
    """Return the cookies that contain ``token`` in ``count`` chunks, as the plugin writes them."""
    generation, size = sha256(token).hexdigest()[:8].encode(), -(-len(token) // count)
    parts = [token[start : start + size] for start in range(0, len(token), size)]
    return [b"%s.%d=%s~%d~%s" % (name, index, generation, count, part) for index, part in enumerate(parts)]


def _chunked(count: int, change: Callable[[list[bytes]], list[bytes]]) -> CookieRecipe:
    return lambda token, _other: [b"; ".join(change(chunks(token, count)))]


def _replaced(old: bytes, new: bytes) -> CookieRecipe:
    """Return three good chunks of one token, with some bytes replaced."""
    return lambda token, _other: [b"; ".join(chunks(token, 3)).replace(old, new)]


def _of_two_tokens(*picks: tuple[int, int]) -> CookieRecipe:
    """Return chunks of two tokens: each pick is a token (0 or 1) and one of its three chunks."""

    def make(token: bytes, other: bytes) -> list[bytes]:
        return [b"; ".join(chunks((token, other)[which], 3)[index] for which, index in picks)]

    return make


HEADERS: Mapping[str, CookieRecipe] = {
    **{f"CK-01 name {name}": _filled(header) for name, header in OTHER_NAMES.items()},
    **{f"CK-01 value {name}": _filled(b"DS=" + value) for name, value in OTHER_VALUES.items()},
    **{f"CK-02 {name}": _filled(*lines) for name, lines in AMBIGUOUS.items()},
    "CK-02 good one first": _filled(b"DS=a.b.c; DS=x.y.z; DS=a.b.c"),
    "CK-02 two headers of HTTP/2": _filled(b"DS=a.b.c", b"DSR=d.e.f", b"DS=x.y.z"),
    "CK-08 first missing": _chunked(3, lambda parts: parts[1:]),
    "CK-08 middle missing": _chunked(3, lambda parts: [parts[0], parts[2]]),
    "CK-08 last missing": _chunked(3, lambda parts: parts[:2]),
    "CK-08 first alone": _chunked(2, lambda parts: parts[:1]),
    "CK-08 one chunk": _chunked(1, lambda parts: parts),
    "CK-08 five chunks": _chunked(5, lambda parts: parts),
    "CK-08 two swapped": _chunked(
        2, lambda parts: [b"DS.0" + parts[1][len(b"DS.0") :], b"DS.1" + parts[0][len(b"DS.1") :]]
    ),
    "CK-08 one twice": _chunked(2, lambda parts: [parts[0], b"DS.1" + parts[0][len(b"DS.0") :]]),
    "CK-08 moved by one": _chunked(
        2, lambda parts: [b"DS.1" + parts[0][len(b"DS.0") :], b"DS.2" + parts[1][len(b"DS.1") :]]
    ),
    "CK-08 two complete sets": lambda token, other: [b"; ".join(chunks(token, 2) + chunks(other, 2))],
    "CK-08 two chunks of the same name": _chunked(2, lambda parts: [parts[0], parts[0] + b"x"]),
    "CK-08 other count": _replaced(b"~3~", b"~2~"),
    "CK-08 count of four": _replaced(b"~3~", b"~4~"),
    "CK-08 count of zero": _replaced(b"~3~", b"~0~"),
    "CK-08 count in words": _replaced(b"~3~", b"~three~"),
    "CK-08 count with a leading zero": _replaced(b"~3~", b"~03~"),
    "CK-08 count in another script": _replaced(b"~3~", "~\u0663~".encode()),
    "CK-08 without a count": _replaced(b"~3~", b"~"),
    "CK-08 other separator": _replaced(b"~", b"."),
    "CK-08 quoted separator": _replaced(b"~", b"%7E"),
    "CK-08 index with a zero": _replaced(b"DS.", b"DS.0"),
    "CK-08 index from one": _chunked(
        3, lambda parts: [b"DS.%d=" % place + part.partition(b"=")[2] for place, part in enumerate(parts, 1)]
    ),
    "CK-08 end of another token": _of_two_tokens((0, 0), (0, 1), (1, 2)),
    "CK-08 start of another token": _of_two_tokens((1, 0), (0, 1), (0, 2)),
    "CK-08 middle of another token": _of_two_tokens((0, 0), (1, 1), (0, 2)),
    "CK-08 another user's cookie and chunks": lambda token, other: [
        b"; ".join([b"DS=" + other, *chunks(token, 2)])
    ],
    "CK-08 forged generation": lambda token, _other: [
        b"; ".join(
            part[: len(b"DS.0=")] + b"00000000" + part[len(b"DS.0=00000000") :] for part in chunks(token, 2)
        )
    ],
    "CK-08 generation that is not hexadecimal": lambda token, _other: [
        b"; ".join(part[: len(b"DS.0=")] + b"G" + part[len(b"DS.0=G") :] for part in chunks(token, 2))
    ],
    "CK-08 chunks of the other name": lambda token, _other: [b"; ".join(chunks(token, 2, name=b"DSX"))],
    "TV-02 2 MB of one cookie": _filled(b"DS=a.b.c; x=" + b"x" * 2_000_000),
    "TV-02 2 MB in our cookie": _filled(b"DS=" + b"a.b" * 666_666),
    "TV-02 2 MB of separators": _filled(b"DS=a.b.c" + b";" * 2_000_000),
    "TV-02 2 MB of equals signs": _filled(b"DS=" + b"=" * 2_000_000),
    "TV-02 5,000 cookies": _filled(b"DS=a.b.c; " + b"; ".join(b"c%d=1" % i for i in range(5_000))),
    "TV-02 1,000 headers": _filled(b"DS=a.b.c", *[b"x=1"] * 1_000),
    "TV-02 900 of our cookies": _filled(b"; ".join(b"DS=%d.b.c" % i for i in range(900))),
    "TV-02 2 MB of chunks": _filled(b"DS.0=12345678~2~" + b"a" * 2_000_000 + b"; DS.1=12345678~2~b.c.d"),
}
"""Cookie headers by name. Each is made of valid tokens of two users, and authenticates neither."""
