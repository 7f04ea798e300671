"""Parsing of the session cookies in a request (requirements CK-01 to CK-03)."""

from collections.abc import Callable

import pytest

from fastapi_descope._auth.credentials import Credentials
from fastapi_descope._web.credentials import CredentialsReader, cookie_pairs
from fastapi_descope.settings import DescopeSettings
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
    """Tokens are credentials under their exact names, at any position in the header."""
    credentials = read_cookies([(b"host", b"app.example.com"), (b"cookie", header)])
    assert (credentials.session, credentials.refresh) == (session, refresh)
    assert credentials.ambiguous is False


@pytest.mark.parametrize("header", OTHER_NAMES.values(), ids=OTHER_NAMES)
def test_ck01_a_similar_name_is_not_our_cookie(read_cookies: ReadCookies, header: bytes) -> None:
    """A similar name yields no token and nothing to delete."""
    assert read_cookies([(b"cookie", header)]) == NOTHING


@pytest.mark.parametrize("value", OTHER_VALUES.values(), ids=OTHER_VALUES)
def test_ck01_a_malformed_value_is_no_token_but_can_be_deleted(
    read_cookies: ReadCookies, value: bytes
) -> None:
    """The name of the cookie is still recorded, so that it can be deleted."""
    credentials = read_cookies([(b"cookie", b"DS=" + value), (b"cookie", b"DSR=d.e.f")])
    assert credentials == Credentials(refresh="d.e.f", cookie_names=frozenset({"DS", "DSR"}))


@pytest.mark.parametrize("lines", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_ck02_two_values_of_one_name_are_ambiguous(read_cookies: ReadCookies, lines: list[bytes]) -> None:
    """Neither of two values is used, so that a tossed cookie cannot swap the account (CK-11)."""
    credentials = read_cookies([(b"cookie", line) for line in lines])
    assert credentials.ambiguous is True
    assert (credentials.session, credentials.refresh) == (None, None)
    assert credentials.cookie_names > frozenset()


def test_lo01_at_most_eight_conflicting_refresh_tokens_are_kept(read_cookies: ReadCookies) -> None:
    """A logout makes one call to Descope for each of them, and a sibling domain can plant many (LO-01)."""
    header = "; ".join(f"DSR=a.b.{index}" for index in range(20)).encode()
    rivals = read_cookies([(b"cookie", header)]).refresh_rivals
    assert len(rivals) == len(set(rivals)) == 8


def test_http2_cookie_fields_are_one_header(read_cookies: ReadCookies) -> None:
    """HTTP/2 may send each cookie in a separate field."""
    credentials = read_cookies([(b"cookie", b"DS=a.b.c"), (b"x", b"DS=x.y.z"), (b"cookie", b"DSR=d.e.f")])
    assert credentials == Credentials(session="a.b.c", refresh="d.e.f", cookie_names=frozenset({"DS", "DSR"}))


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
def test_tv02_an_oversized_cookie_header_is_not_parsed(
    read_cookies: ReadCookies, filler: bytes, *, read: bool
) -> None:
    """Servers accept 2 MB of cookies, so the plugin has a limit of its own."""
    credentials = read_cookies([(b"cookie", b"DS=a.b.c;" + filler)])
    assert credentials == (Credentials(session="a.b.c", cookie_names=frozenset({"DS"})) if read else NOTHING)


def test_the_limit_applies_to_all_cookie_headers_together(read_cookies: ReadCookies) -> None:
    """Several fields cannot exceed the limit of one."""
    assert read_cookies([(b"cookie", b"DS=a.b.c")] * 8_000) == NOTHING


def test_cookie_pairs_are_raw_and_in_order() -> None:
    """Names and values are returned as sent, with repeats."""
    headers = [(b"cookie", b"ab=1=2; x=3; a= \xff ;b=4; a"), (b"cookie", b"a=5"), (b"cookies", b"a=6")]
    assert cookie_pairs(headers, b"a") == [(b"ab", b"1=2"), (b"a", b" \xff"), (b"a", b"5")]
    assert cookie_pairs(headers, (b"x", b"b")) == [(b"x", b"3"), (b"b", b"4")]


@pytest.mark.parametrize("prefix", ["__Host-", "__Secure-"])
def test_ck03_exactly_one_name_is_read(read_cookies: ReadCookies, prefix: str) -> None:
    """With a prefix the plain names are ignored, and are not a fallback."""
    header = f"DS=x.y.z; {prefix}DS=a.b.c; DSR=x.y.z".encode()
    assert read_cookies([(b"cookie", header)], cookie_prefix=prefix) == Credentials(
        session="a.b.c", cookie_names=frozenset({f"{prefix}DS"})
    )
    assert read_cookies([(b"cookie", b"\xa0" + header[len("DS=x.y.z; ") :])], cookie_prefix=prefix) == NOTHING


@pytest.mark.parametrize("header", ["DS=a.b.c", "DSR=a.b.c", "DS=a.b.c; __Host-DS=d.e.f"])
def test_ck03_plain_cookie_that_is_not_read_is_reported_once(
    caplog: pytest.LogCaptureFixture, header: str
) -> None:
    """A front-end SDK has set it. The line names the setting with which it is read."""
    reader = CredentialsReader(
        DescopeSettings(project_id="P" + "a" * 27, public_url="https://app.example.com")
    )
    scope = {"type": "http", "method": "GET", "headers": [(b"cookie", header.encode())]}

    credentials = [reader.read(scope) for _ in range(3)]

    assert {each.session for each in credentials} <= {None, "d.e.f"}
    (line,) = caplog.messages
    assert line == (
        "fastapi_descope: A browser sends a token under a plain name (DS and DSR), which is not read: the"
        " session cookies are __Host-DS and __Host-DSR. If a Descope front-end SDK or another back end sets"
        " it, restore the plain names with DESCOPE_COOKIE_PREFIX= (empty). If an earlier release of this app"
        " set it, list it in DESCOPE_FORMER_COOKIES"
    )


@pytest.mark.parametrize("header", ["DS=", "DS=x", "DS.0=12345678~2~a", "DSX=a.b.c", "__Host-DS=a.b.c"])
def test_ck03_other_cookies_are_not_reported(caplog: pytest.LogCaptureFixture, header: str) -> None:
    """Only a token under a plain name is."""
    settings = DescopeSettings(project_id="P" + "a" * 27, public_url="https://app.example.com")
    headers = [(b"cookie", header.encode())]
    CredentialsReader(settings).read({"type": "http", "method": "GET", "headers": headers})
    assert caplog.messages == []


def test_configured_cookie_names_are_read(read_cookies: ReadCookies) -> None:
    """Names without a common prefix work too."""
    credentials = read_cookies(
        [(b"cookie", b"long=d.e.f; DS=x.y.z; sess=a.b.c")],
        session_cookie_name="sess",
        refresh_cookie_name="long",
    )
    assert credentials == Credentials(
        session="a.b.c", refresh="d.e.f", cookie_names=frozenset({"sess", "long"})
    )


def test_lg06_tokens_stay_out_of_repr() -> None:
    """``repr`` shows the names of cookies and no token."""
    shown = repr(
        Credentials(session="secret.secret.secret", refresh="secret.r.r", cookie_names=frozenset({"DS"}))
    )
    assert shown == (
        "Credentials(ambiguous=False, may_refresh=True, scheme='bearer', cookie_names=frozenset({'DS'}),"
        " stray_chunks=frozenset(), former_names=frozenset())"
    )


def test_ck01_only_spaces_and_tabs_around_a_pair_are_dropped() -> None:
    """Every other byte is part of the cookie."""
    headers = [(b"cookie", b" XDS=X ;\tDS=aX\t; DSR=\x0b")]
    assert cookie_pairs(headers, (b"DS", b"X")) == [(b"XDS", b"X"), (b"DS", b"aX"), (b"DSR", b"\x0b")]
