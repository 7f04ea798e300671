"""Cookie headers that must not sign anybody in (requirements CK-01 to CK-03, CK-08, CK-11)."""

from collections.abc import Mapping

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
"""A good token under a name that only looks like ours."""

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
"""What is no token, under our name."""

AMBIGUOUS: Mapping[str, list[bytes]] = {
    "one-header": [b"DS=a.b.c; DS=x.y.z"],
    "two-headers": [b"DS=a.b.c", b"DS=x.y.z"],
    "three-of-two": [b"DS=a.b.c", b"x=1", b"DS=a.b.c; DS=x.y.z"],
    "refresh": [b"DSR=d.e.f; DS=a.b.c; DSR=x.y.z"],
    "chunk": [b"DS.0=12345678~2~a; DS=a.b.c; DS.0=12345678~2~b"],
    "CK-11-tossed": [b"DS=x.y.z; theme=dark; DS=a.b.c; DSR=d.e.f"],
}
"""Cookie headers in which one name has two values."""
