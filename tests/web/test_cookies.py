"""Session cookies on the wire: which bytes of a request are believed (requirements CK-01 to CK-03)."""

from collections.abc import Callable

import pytest

from fastapi_descope._auth.authenticator import Credentials
from fastapi_descope._web.credentials import cookie_pairs
from tests.hostile.tables.cookies import AMBIGUOUS, OTHER_NAMES, OTHER_VALUES

NOTHING = Credentials()

ReadCookies = Callable[..., Credentials]


@pytest.mark.parametrize(
    ("header", "session", "refresh"),
    [
        pytest.param(b"DS=a.b.c", "a.b.c", None, id="one"),
        pytest.param(b"DSR=a.b.c", None, "a.b.c", id="refresh-alone"),
        pytest.param(b"DS=a.b.c; DSR=d.e.f", "a.b.c", "d.e.f", id="both"),
        pytest.param(b"DSR=d.e.f; DS=a.b.c", "a.b.c", "d.e.f", id="other-order"),
        pytest.param(b"DS=a.b.c;DSR=d.e.f", "a.b.c", "d.e.f", id="no-space"),
        pytest.param(b"\t DS=a.b.c \t;\tDSR=d.e.f\t", "a.b.c", "d.e.f", id="tabs-around-pairs"),
        pytest.param(b"_ga=1; DS=a.b.c; theme=DS=x.y.z", "a.b.c", None, id="among-others"),
        pytest.param(b";;; DS=a.b.c;;", "a.b.c", None, id="empty-pairs"),
        pytest.param(b"DS=A-Z_09.-_.0", "A-Z_09.-_.0", None, id="whole-alphabet"),
        pytest.param(b"DS=a.b.c; DS=a.b.c", "a.b.c", None, id="CK-02-identical-twice"),
        pytest.param(b"DS=; DS=a.b.c", "a.b.c", None, id="empty-twin-is-no-value"),
        pytest.param(b"DS=a.b.c; DS=%00", "a.b.c", None, id="garbage-twin-is-no-value"),
        pytest.param(b"DS=a.b.c; DS", "a.b.c", None, id="nameless-twin"),
    ],
)
def test_ck01_a_plain_cookie_is_read(
    read_cookies: ReadCookies, header: bytes, session: str | None, refresh: str | None
) -> None:
    """Tokens are found under their exact names, wherever in the header they stand."""
    presented = read_cookies([(b"host", b"app.example.com"), (b"cookie", header)])
    assert (presented.session, presented.refresh) == (session, refresh)
    assert presented.ambiguous is False


@pytest.mark.parametrize("header", OTHER_NAMES.values(), ids=OTHER_NAMES)
def test_ck01_what_is_not_our_name_is_no_cookie_of_ours(read_cookies: ReadCookies, header: bytes) -> None:
    """A name that only looks like ours gives no token and nothing to delete."""
    assert read_cookies([(b"cookie", header)]) == NOTHING


@pytest.mark.parametrize("value", OTHER_VALUES.values(), ids=OTHER_VALUES)
def test_ck01_a_value_that_is_no_jwt_gives_no_token_but_can_be_deleted(
    read_cookies: ReadCookies, value: bytes
) -> None:
    """A value outside the grammar is no token; the cookie is still known to be there."""
    presented = read_cookies([(b"cookie", b"DS=" + value), (b"cookie", b"DSR=d.e.f")])
    assert presented == Credentials(refresh="d.e.f", cookie_names=frozenset({"DS", "DSR"}))


@pytest.mark.parametrize("lines", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_ck02_two_values_of_one_name_are_ambiguous(read_cookies: ReadCookies, lines: list[bytes]) -> None:
    """Of two different values neither is believed: a tossed cookie cannot swap the account (CK-11)."""
    presented = read_cookies([(b"cookie", line) for line in lines])
    assert presented.ambiguous is True
    assert (presented.session, presented.refresh) == (None, None)
    assert presented.cookie_names > frozenset()


def test_http2_cookie_fields_are_one_header(read_cookies: ReadCookies) -> None:
    """HTTP/2 may send every cookie in a field of its own."""
    presented = read_cookies([(b"cookie", b"DS=a.b.c"), (b"x", b"DS=x.y.z"), (b"cookie", b"DSR=d.e.f")])
    assert presented == Credentials(session="a.b.c", refresh="d.e.f", cookie_names=frozenset({"DS", "DSR"}))


@pytest.mark.parametrize(
    ("filler", "read"),
    [
        pytest.param(b"x" * (65_536 - len("DS=a.b.c;")), True, id="64-KiB"),
        pytest.param(b"x" * (65_537 - len("DS=a.b.c;")), False, id="one-byte-more"),
        pytest.param(b";" * 998, True, id="1000-pairs"),
        pytest.param(b";" * 999, False, id="1001-pairs"),
        pytest.param(b"DS=x.y.z;" * 222_222, False, id="2-MB"),
    ],
)
def test_tv02_a_header_beyond_any_browser_is_not_looked_into(
    read_cookies: ReadCookies, filler: bytes, *, read: bool
) -> None:
    """Servers let 2 MB of cookies through, so the bound is ours."""
    presented = read_cookies([(b"cookie", b"DS=a.b.c;" + filler)])
    assert presented == (Credentials(session="a.b.c", cookie_names=frozenset({"DS"})) if read else NOTHING)


def test_the_bound_is_on_all_cookie_headers_together(read_cookies: ReadCookies) -> None:
    """Many fields cannot carry what one may not."""
    assert read_cookies([(b"cookie", b"DS=a.b.c")] * 8_000) == NOTHING


def test_pairs_come_raw_and_in_order() -> None:
    """Other readers of cookies get names and values as sent, repeats and all."""
    headers = [(b"cookie", b"ab=1=2; x=3; a= \xff ;b=4; a"), (b"cookie", b"a=5"), (b"cookies", b"a=6")]
    assert cookie_pairs(headers, b"a") == [(b"ab", b"1=2"), (b"a", b" \xff"), (b"a", b"5")]
    assert cookie_pairs(headers, (b"x", b"b")) == [(b"x", b"3"), (b"b", b"4")]


@pytest.mark.parametrize("prefix", ["__Host-", "__Secure-"])
def test_ck03_exactly_one_name_is_read(read_cookies: ReadCookies, prefix: str) -> None:
    """With a prefix the plain names mean nothing, not even as a fallback."""
    header = f"DS=x.y.z; {prefix}DS=a.b.c; DSR=x.y.z".encode()
    assert read_cookies([(b"cookie", header)], cookie_prefix=prefix) == Credentials(
        session="a.b.c", cookie_names=frozenset({f"{prefix}DS"})
    )
    assert read_cookies([(b"cookie", b"\xa0" + header[len("DS=x.y.z; ") :])], cookie_prefix=prefix) == NOTHING


def test_names_are_the_configured_ones(read_cookies: ReadCookies) -> None:
    """Names without a common start are found as well."""
    presented = read_cookies(
        [(b"cookie", b"long=d.e.f; DS=x.y.z; sess=a.b.c")],
        session_cookie_name="sess",
        refresh_cookie_name="long",
    )
    assert presented == Credentials(
        session="a.b.c", refresh="d.e.f", cookie_names=frozenset({"sess", "long"})
    )


def test_lg06_tokens_stay_out_of_repr() -> None:
    """What a log line may show of the presented tokens is names."""
    shown = repr(
        Credentials(session="secret.secret.secret", refresh="secret.r.r", cookie_names=frozenset({"DS"}))
    )
    assert shown == (
        "Credentials(ambiguous=False, may_refresh=True, scheme='bearer', cookie_names=frozenset({'DS'}))"
    )


def test_ck01_only_spaces_and_tabs_around_a_pair_are_dropped() -> None:
    """Every other byte of a cookie, the first and the last included, is part of it."""
    headers = [(b"cookie", b" XDS=X ;\tDS=aX\t; DSR=\x0b")]
    assert cookie_pairs(headers, (b"DS", b"X")) == [(b"XDS", b"X"), (b"DS", b"aX"), (b"DSR", b"\x0b")]
