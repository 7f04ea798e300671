"""Session cookies on the wire: what is believed, what is set, what is deleted (requirements 2.6)."""

import urllib.request
from collections.abc import Callable
from email.message import Message
from hashlib import sha256
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from io import BytesIO
from typing import cast
from urllib.response import addinfourl

import pytest

from fastapi_descope.core.session import RefreshToken, Session, TokenPair
from fastapi_descope.errors import SessionTooLarge, TokenError, TokenReason
from fastapi_descope.settings import DescopeSettings, SettingValues
from fastapi_descope.web.cookies import PresentedTokens, SessionCookies, cookie_pairs

PROJECT = "P2abcdefghijklmnopqrstuvwxyz"
NOW = 1_700_000_000
DELETION = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
NOTHING = PresentedTokens()

CookiesOf = Callable[..., SessionCookies]
PairOf = Callable[..., TokenPair]


@pytest.fixture
def cookies_of() -> CookiesOf:
    """The cookies of an app at https://app.example.com, with what a test sets differently."""

    def build(**values: object) -> SessionCookies:
        given = {"project_id": PROJECT, "public_url": "https://app.example.com", **values}
        return SessionCookies(DescopeSettings(**cast("SettingValues", given)))

    return build


@pytest.fixture
def pair_of() -> PairOf:
    """Two tokens; the session lives for ten minutes, the refresh token for a day."""

    def build(session: str = "s.s.s", refresh: str = "r.r.r", ends: float = NOW + 600) -> TokenPair:
        claims: dict[str, object] = {"sub": "U1", "iat": NOW, "exp": ends}
        return TokenPair(
            session_jwt=session,
            session=Session.from_claims(claims),
            refresh=RefreshToken.from_claims(refresh, {**claims, "exp": NOW + 86_400}),
        )

    return build


class Jar:
    """A browser at ``url``, played by the standard library's cookie jar."""

    def __init__(self, url: str) -> None:
        self._jar, self._url = CookieJar(), url

    def receive(self, lines: list[bytes]) -> None:
        """Take the ``Set-Cookie`` values of one response."""
        message = Message()
        for line in lines:
            message["Set-Cookie"] = line.decode("ascii")
        response = cast("HTTPResponse", addinfourl(BytesIO(), message, self._url))
        self._jar.extract_cookies(response, urllib.request.Request(self._url))  # noqa: S310 - nothing is opened

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the next request."""
        request = urllib.request.Request(self._url)  # noqa: S310 - nothing is opened
        self._jar.add_cookie_header(request)
        return [(b"cookie", value.encode("ascii")) for _, value in request.header_items()]

    def names(self) -> list[str]:
        """The names of the cookies in the jar."""
        return sorted(cookie.name for cookie in self._jar)


def jwt(length: int, letter: str = "x") -> str:
    """A text of ``length`` characters with the grammar of a JWT."""
    return f"h.p.{letter * (length - 4)}"


def chunk(token: str, index: int, count: int, part: str) -> str:
    """A well-formed chunk, as the wire has it."""
    return f"DS.{index}={sha256(token.encode()).hexdigest()[:8]}~{count}~{part}"


def held_by_browser(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """The headers of a browser that holds just what these lines set."""
    return [(b"cookie", b"; ".join(line.partition(b";")[0] for line in lines))]


def values(lines: list[bytes]) -> list[tuple[str, int]]:
    """Name, and size of name and value, of each cookie that is set or deleted."""
    pairs = [line.partition(b";")[0].partition(b"=") for line in lines]
    return [(name.decode(), len(name) + len(value)) for name, _, value in pairs]


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
    cookies_of: CookiesOf, header: bytes, session: str | None, refresh: str | None
) -> None:
    """Tokens are found under their exact names, wherever in the header they stand."""
    presented = cookies_of().read([(b"host", b"app.example.com"), (b"cookie", header)])
    assert (presented.session, presented.refresh) == (session, refresh)
    assert presented.ambiguous is False


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xa0DS=a.b.c", id="nbsp-before-name"),
        pytest.param(b"DS\xa0=a.b.c", id="nbsp-after-name"),
        pytest.param(b"\x85DS=a.b.c", id="next-line-before-name"),
        pytest.param(b"\x1fDS=a.b.c", id="unit-separator-before-name"),
        pytest.param(b"\x0bDS=a.b.c", id="vertical-tab-before-name"),
        pytest.param(b"\x0cDS=a.b.c", id="form-feed-before-name"),
        pytest.param(b"\rDS=a.b.c", id="carriage-return-before-name"),
        pytest.param(b"\nDS=a.b.c", id="newline-before-name"),
        pytest.param(b"\x00DS=a.b.c", id="nul-before-name"),
        pytest.param(b"\xe2\x80\x83DS=a.b.c", id="em-space-before-name"),
        pytest.param(b"\xef\xbb\xbfDS=a.b.c", id="byte-order-mark"),
        pytest.param(b"DS =a.b.c", id="space-after-name"),
        pytest.param(b"DS\t=a.b.c", id="tab-after-name"),
        pytest.param(b"ds=a.b.c", id="lower-case"),
        pytest.param(b"Ds=a.b.c", id="mixed-case"),
        pytest.param(b"$DS=a.b.c", id="dollar"),
        pytest.param(b"$Version=1, DS=a.b.c", id="version-with-comma"),
        pytest.param(b'"DS"=a.b.c', id="quoted-name"),
        pytest.param(b"=DS=a.b.c", id="nameless"),
        pytest.param(b"=a.b.c", id="nameless-token"),
        pytest.param(b"DS", id="no-equals"),
        pytest.param(b"%44%53=a.b.c", id="percent-encoded-name"),
        pytest.param(b"xDS=a.b.c", id="suffix-of-another"),
        pytest.param(b"DSX=a.b.c", id="prefix-of-another"),
        pytest.param(b"DS.=a.b.c", id="dot"),
        pytest.param(b"DS.4=12345678~2~x", id="fifth-chunk"),
        pytest.param(b"DS.00=12345678~2~x", id="two-digit-chunk"),
        pytest.param(b"DS.-1=12345678~2~x", id="negative-chunk"),
        pytest.param(b"DS.\xb2=12345678~2~x", id="superscript-chunk"),
        pytest.param(b"__Host-DS=a.b.c", id="CK-03-prefixed-is-another-name"),
        pytest.param(b"__Secure-DSR=a.b.c", id="CK-03-secure-is-another-name"),
        pytest.param(b"a=1, DS=a.b.c", id="comma-does-not-split"),
    ],
)
def test_ck01_what_is_not_our_name_is_no_cookie_of_ours(cookies_of: CookiesOf, header: bytes) -> None:
    """A name that only looks like ours gives no token and nothing to delete."""
    assert cookies_of().read([(b"cookie", header)]) == NOTHING


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"a", id="one-part"),
        pytest.param(b"a.b", id="two-parts"),
        pytest.param(b"a.b.c.d", id="four-parts"),
        pytest.param(b"a.b.c.d.e", id="jwe"),
        pytest.param(b"a..c", id="empty-middle"),
        pytest.param(b".b.c", id="empty-start"),
        pytest.param(b"a.b.", id="empty-end"),
        pytest.param(b'"a.b.c"', id="quoted"),
        pytest.param(b'"a.b.c\\012Host: evil"', id="octal"),
        pytest.param(b" a.b.c", id="space-before"),
        pytest.param(b"a.b. c", id="space-inside"),
        pytest.param(b"a.b.c\xa0", id="nbsp-after"),
        pytest.param(b"a.b.c\n", id="newline-after"),
        pytest.param(b"a.b.c\x00", id="nul-after"),
        pytest.param(b"a.b.c,d.e.f", id="comma"),
        pytest.param(b"a.b.c=", id="padded"),
        pytest.param(b"=a.b.c", id="second-equals"),
        pytest.param(b"a.b.c+", id="other-alphabet"),
        pytest.param(b"a%2eb.c.d", id="percent"),
        pytest.param(b"a.b.\xc3\xa9", id="utf-8"),
        pytest.param(b"a.b.\xd9\xa1", id="arabic-digit"),
        pytest.param(b"undefined", id="undefined"),
    ],
)
def test_ck01_a_value_that_is_no_jwt_gives_no_token_but_can_be_deleted(
    cookies_of: CookiesOf, value: bytes
) -> None:
    """A value outside the grammar is no token; the cookie is still known to be there."""
    presented = cookies_of().read([(b"cookie", b"DS=" + value), (b"cookie", b"DSR=d.e.f")])
    assert presented == PresentedTokens(refresh="d.e.f", names=frozenset({"DS", "DSR"}))


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([b"DS=a.b.c; DS=x.y.z"], id="one-header"),
        pytest.param([b"DS=a.b.c", b"DS=x.y.z"], id="two-headers"),
        pytest.param([b"DS=a.b.c", b"x=1", b"DS=a.b.c; DS=x.y.z"], id="three-of-two"),
        pytest.param([b"DSR=d.e.f; DS=a.b.c; DSR=x.y.z"], id="refresh"),
        pytest.param([b"DS.0=12345678~2~a; DS=a.b.c; DS.0=12345678~2~b"], id="chunk"),
        pytest.param([b"DS=x.y.z; theme=dark; DS=a.b.c; DSR=d.e.f"], id="CK-11-tossed"),
    ],
)
def test_ck02_two_values_of_one_name_are_ambiguous(cookies_of: CookiesOf, lines: list[bytes]) -> None:
    """Of two different values neither is believed: a tossed cookie cannot swap the account (CK-11)."""
    presented = cookies_of().read([(b"cookie", line) for line in lines])
    assert presented.ambiguous is True
    assert (presented.session, presented.refresh) == (None, None)
    assert presented.names > frozenset()


def test_http2_cookie_fields_are_one_header(cookies_of: CookiesOf) -> None:
    """HTTP/2 may send every cookie in a field of its own."""
    presented = cookies_of().read([(b"cookie", b"DS=a.b.c"), (b"x", b"DS=x.y.z"), (b"cookie", b"DSR=d.e.f")])
    assert presented == PresentedTokens("a.b.c", "d.e.f", names=frozenset({"DS", "DSR"}))


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
def test_a_header_beyond_any_browser_is_not_looked_into(
    cookies_of: CookiesOf, filler: bytes, *, read: bool
) -> None:
    """Servers let 2 MB of cookies through, so the bound is ours."""
    presented = cookies_of().read([(b"cookie", b"DS=a.b.c;" + filler)])
    assert presented == (PresentedTokens("a.b.c", names=frozenset({"DS"})) if read else NOTHING)


def test_the_bound_is_on_all_cookie_headers_together(cookies_of: CookiesOf) -> None:
    """Many fields cannot carry what one may not."""
    assert cookies_of().read([(b"cookie", b"DS=a.b.c")] * 8_000) == NOTHING


def test_pairs_come_raw_and_in_order() -> None:
    """Other readers of cookies get names and values as sent, repeats and all."""
    headers = [(b"cookie", b"ab=1=2; x=3; a= \xff ;b=4; a"), (b"cookie", b"a=5"), (b"cookies", b"a=6")]
    assert cookie_pairs(headers, b"a") == [(b"ab", b"1=2"), (b"a", b" \xff"), (b"a", b"5")]
    assert cookie_pairs(headers, (b"x", b"b")) == [(b"x", b"3"), (b"b", b"4")]


@pytest.mark.parametrize("prefix", ["__Host-", "__Secure-"])
def test_ck03_exactly_one_name_is_read(cookies_of: CookiesOf, prefix: str) -> None:
    """With a prefix the plain names mean nothing, not even as a fallback."""
    cookies = cookies_of(cookie_prefix=prefix)
    header = f"DS=x.y.z; {prefix}DS=a.b.c; DSR=x.y.z".encode()
    assert cookies.read([(b"cookie", header)]) == PresentedTokens("a.b.c", names=frozenset({f"{prefix}DS"}))
    assert cookies.read([(b"cookie", b"\xa0" + header[len("DS=x.y.z; ") :])]) == NOTHING


def test_names_are_the_configured_ones(cookies_of: CookiesOf) -> None:
    """Names without a common start are found as well."""
    cookies = cookies_of(session_cookie_name="sess", refresh_cookie_name="long")
    presented = cookies.read([(b"cookie", b"long=d.e.f; DS=x.y.z; sess=a.b.c")])
    assert presented == PresentedTokens("a.b.c", "d.e.f", names=frozenset({"sess", "long"}))


@pytest.mark.parametrize(
    ("configuration", "secure", "attributes"),
    [
        pytest.param({}, True, "Path=/; HttpOnly; SameSite=Lax; Secure", id="https"),
        pytest.param({"public_url": None}, False, "Path=/; HttpOnly; SameSite=Lax", id="http-on-loopback"),
        pytest.param(
            {"cookie_samesite": "strict"}, True, "Path=/; HttpOnly; SameSite=Strict; Secure", id="strict"
        ),
        pytest.param({"cookie_samesite": "none"}, True, "Path=/; HttpOnly; SameSite=None; Secure", id="none"),
        pytest.param(
            {"cookie_samesite": "none", "public_url": None},
            False,
            "Path=/; HttpOnly; SameSite=None; Secure",
            id="none-is-always-secure",
        ),
        pytest.param(
            {"cookie_domain": "example.com"},
            True,
            "Path=/; Domain=example.com; HttpOnly; SameSite=Lax; Secure",
            id="domain",
        ),
    ],
)
def test_ck04_the_set_cookie_lines_are_golden(
    cookies_of: CookiesOf, pair_of: PairOf, configuration: dict[str, object], attributes: str, *, secure: bool
) -> None:
    """Every attribute, in every configuration; each cookie lives as long as its token."""
    lines = cookies_of(**configuration).write(pair_of(), now=NOW, secure=secure, presented=NOTHING)
    assert [line.decode() for line in lines] == [
        f"DS=s.s.s; Max-Age=600; {attributes}",
        f"DSR=r.r.r; Max-Age=86400; {attributes}",
    ]


@pytest.mark.parametrize("prefix", ["__Host-", "__Secure-"])
@pytest.mark.parametrize("secure", [False, True])
def test_ck03_prefixed_cookies_are_always_secure(
    cookies_of: CookiesOf, pair_of: PairOf, prefix: str, *, secure: bool
) -> None:
    """A browser drops a prefixed cookie that is not, also on loopback."""
    cookies = cookies_of(cookie_prefix=prefix, public_url=None)
    lines = cookies.write(pair_of(), now=NOW, secure=secure, presented=NOTHING)
    assert [line.decode() for line in lines] == [
        f"{prefix}DS=s.s.s; Max-Age=600; Path=/; HttpOnly; SameSite=Lax; Secure",
        f"{prefix}DSR=r.r.r; Max-Age=86400; Path=/; HttpOnly; SameSite=Lax; Secure",
    ]


@pytest.mark.parametrize(
    ("now", "age"),
    [
        pytest.param(NOW, 600, id="issued-now"),
        pytest.param(NOW + 0.5, 599, id="rounded-down"),
        pytest.param(NOW + 599.5, 0, id="half-a-second-left"),
        pytest.param(NOW + 601, 0, id="over"),
        pytest.param(NOW + 80_000, 0, id="long-over"),
    ],
)
def test_ck04_max_age_is_what_is_left_and_never_negative(
    cookies_of: CookiesOf, pair_of: PairOf, now: float, age: int
) -> None:
    """The browser forgets the session cookie when the token expires, whole seconds before it at most."""
    line = cookies_of().write(pair_of(), now=now, secure=True, presented=NOTHING)[0]
    assert line.split(b"; ")[1] == b"Max-Age=%d" % age


def test_ck07_clear_deletes_both_even_if_neither_was_seen(cookies_of: CookiesOf) -> None:
    """Logging out is thorough: the deletions mirror how the cookies were set."""
    assert [line.decode() for line in cookies_of().clear(NOTHING, secure=True)] == [
        f"DS=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
        f"DSR=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
    ]


def test_ck07_clear_deletes_every_chunk_that_was_seen(cookies_of: CookiesOf) -> None:
    """Leftovers go as well, and names of other people stay."""
    cookies = cookies_of(cookie_domain="example.com", cookie_samesite="strict")
    presented = cookies.read([(b"cookie", b"DS.3=rubbish; DSR=d.e.f; DSX=1; DS.0=; DSR.1=x")])
    attributes = f"{DELETION}; Path=/; Domain=example.com; HttpOnly; SameSite=Strict; Secure"
    assert [line.decode() for line in cookies.clear(presented, secure=True)] == [
        f"{name}=; {attributes}" for name in ("DS", "DS.0", "DS.3", "DSR", "DSR.1")
    ]


def test_one_cookie_alone_can_go(cookies_of: CookiesOf) -> None:
    """A wrong token in one cookie does not cost the other one (KD-02, RF-11)."""
    cookies = cookies_of()
    presented = cookies.read([(b"cookie", b"DS=a.b.c; DS.1=x; DSR=d.e.f; DSR.2=x")])
    attributes = f"{DELETION}; Path=/; HttpOnly; SameSite=Lax"
    assert [line.decode() for line in cookies.clear_session(presented, secure=False)] == [
        f"DS=; {attributes}",
        f"DS.1=; {attributes}",
    ]
    assert [line.decode() for line in cookies.clear_refresh(presented, secure=False)] == [
        f"DSR=; {attributes}",
        f"DSR.2=; {attributes}",
    ]


def test_ck02_an_ambiguous_clear_also_deletes_the_host_only_twin(cookies_of: CookiesOf) -> None:
    """Under a Domain two cookies of one name are ours to delete, so that the browser heals."""
    cookies = cookies_of(cookie_domain="example.com")
    presented = cookies.read([(b"cookie", b"DS=a.b.c; DS=x.y.z")])
    assert [line.decode() for line in cookies.clear(presented, secure=True)] == [
        f"DS=; {DELETION}; Path=/; Domain=example.com; HttpOnly; SameSite=Lax; Secure",
        f"DSR=; {DELETION}; Path=/; Domain=example.com; HttpOnly; SameSite=Lax; Secure",
        f"DS=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
        f"DSR=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
    ]


def test_ck02_without_a_domain_there_is_no_twin_to_delete(cookies_of: CookiesOf) -> None:
    """An ambiguous clear then deletes each name once."""
    cookies = cookies_of()
    presented = cookies.read([(b"cookie", b"DS=a.b.c; DS=x.y.z")])
    assert values(cookies.clear(presented, secure=True)) == [("DS", 2), ("DSR", 3)]


def test_ck02_a_login_heals_an_ambiguous_browser(cookies_of: CookiesOf, pair_of: PairOf) -> None:
    """The host-only twin from before a Domain was configured does not survive the next login."""
    jar = Jar("https://app.example.com/")
    jar.receive(cookies_of().write(pair_of("old.old.old"), now=NOW, secure=True, presented=NOTHING))
    cookies = cookies_of(cookie_domain="example.com")
    jar.receive(cookies.write(pair_of("new.new.new"), now=NOW, secure=True, presented=NOTHING))
    presented = cookies.read(jar.headers())
    assert presented.ambiguous is True
    jar.receive(cookies.write(pair_of("last.last.last"), now=NOW, secure=True, presented=presented))
    assert cookies.read(jar.headers()).session == "last.last.last"


@pytest.mark.parametrize(
    ("url", "configuration"),
    [
        pytest.param("https://app.example.com/", {}, id="https"),
        pytest.param("http://localhost:8000/", {"public_url": None}, id="http-on-loopback"),
        pytest.param("https://app.example.com/", {"cookie_domain": "example.com"}, id="domain"),
        pytest.param("https://app.example.com/", {"cookie_domain": "app.example.com"}, id="own-domain"),
        pytest.param("https://app.example.com/", {"cookie_prefix": "__Host-"}, id="host-prefix"),
        pytest.param("https://app.example.com/", {"cookie_prefix": "__Secure-"}, id="secure-prefix"),
        pytest.param("https://app.example.com/", {"cookie_samesite": "strict"}, id="strict"),
        pytest.param("https://app.example.com/", {"cookie_samesite": "none"}, id="none"),
    ],
)
@pytest.mark.parametrize("size", [100, 5_000, 16_000])
def test_ck07_set_then_delete_leaves_the_jar_empty(
    cookies_of: CookiesOf,
    pair_of: PairOf,
    url: str,
    configuration: dict[str, object],
    size: int,
) -> None:
    """In every configuration a jar that is not ours keeps what we set and drops what we delete."""
    cookies, jar, secure = cookies_of(**configuration), Jar(url), url.startswith("https")
    pair = pair_of(jwt(size), jwt(size, "y"))
    jar.receive(cookies.write(pair, now=NOW, secure=secure, presented=NOTHING))
    presented = cookies.read(jar.headers())
    assert (presented.session, presented.refresh) == (pair.session_jwt, pair.refresh.text)
    assert sorted(presented.names) == jar.names()
    jar.receive(cookies.clear(presented, secure=secure))
    assert jar.names() == []


@pytest.mark.parametrize(
    ("length", "cookies"),
    [
        pytest.param(4_093, [("DS", 4_095)], id="4095"),
        pytest.param(4_094, [("DS", 4_096)], id="4096"),
        pytest.param(4_095, [("DS.0", 4_096), ("DS.1", 29)], id="4097"),
        pytest.param(2 * 4_081, [("DS.0", 4_096), ("DS.1", 4_096)], id="two-full"),
        pytest.param(2 * 4_081 + 1, [("DS.0", 4_096), ("DS.1", 4_096), ("DS.2", 16)], id="three"),
        pytest.param(4 * 4_081, [(f"DS.{index}", 4_096) for index in range(4)], id="four-full"),
    ],
)
def test_ck08_no_cookie_is_larger_than_browsers_keep(
    cookies_of: CookiesOf, pair_of: PairOf, length: int, cookies: list[tuple[str, int]]
) -> None:
    """4,096 bytes of name and value fit; beyond that the token is spread over chunks."""
    lines = cookies_of().write(pair_of(jwt(length)), now=NOW, secure=True, presented=NOTHING)
    assert values(lines) == [*cookies, ("DSR", 8)]
    assert cookies_of().read(held_by_browser(lines)).session == jwt(length)


def test_ck08_a_token_beyond_four_chunks_is_refused(cookies_of: CookiesOf, pair_of: PairOf) -> None:
    """An explicit error, rather than cookies that a browser drops and a login that loops."""
    with pytest.raises(SessionTooLarge):
        cookies_of().write(pair_of(jwt(4 * 4_081 + 1)), now=NOW, secure=True, presented=NOTHING)


def test_ck08_a_longer_name_leaves_less_room(cookies_of: CookiesOf, pair_of: PairOf) -> None:
    """The name counts towards the 4,096 bytes."""
    lines = cookies_of(cookie_prefix="__Host-").write(
        pair_of(jwt(4_094)), now=NOW, secure=True, presented=NOTHING
    )
    assert values(lines)[:2] == [("__Host-DS.0", 4_096), ("__Host-DS.1", 42)]


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        pytest.param(10_000, 100, ["DS", "DSR"], id="three-chunks-to-none"),
        pytest.param(10_000, 5_000, ["DS.0", "DS.1", "DSR"], id="three-chunks-to-two"),
        pytest.param(100, 5_000, ["DS.0", "DS.1", "DSR"], id="none-to-two-chunks"),
        pytest.param(5_000, 5_000, ["DS.0", "DS.1", "DSR"], id="two-to-two"),
    ],
)
def test_ck08_a_new_token_leaves_nothing_of_the_old_one(
    cookies_of: CookiesOf,
    pair_of: PairOf,
    before: int,
    after: int,
    left: list[str],
) -> None:
    """Chunks that are no longer used are deleted, and so is the whole cookie that chunks replace."""
    cookies, jar = cookies_of(), Jar("https://app.example.com/")
    jar.receive(cookies.write(pair_of(jwt(before)), now=NOW, secure=True, presented=NOTHING))
    presented = cookies.read(jar.headers())
    jar.receive(cookies.write(pair_of(jwt(after, "y")), now=NOW, secure=True, presented=presented))
    assert jar.names() == left
    assert cookies.read(jar.headers()).session == jwt(after, "y")


def test_ck09_no_cookie_is_set_and_deleted_in_one_response(cookies_of: CookiesOf, pair_of: PairOf) -> None:
    """The order in which a browser takes the lines does not matter."""
    cookies = cookies_of()
    presented = cookies.read([(b"cookie", b"DS=x; DS.0=x; DS.1=x; DS.2=x; DS.3=x; DSR=x; DSR.0=x")])
    lines = cookies.write(pair_of(jwt(5_000)), now=NOW, secure=True, presented=presented)
    assert [name for name, _ in values(lines)] == ["DS.0", "DS.1", "DSR", "DS", "DS.2", "DS.3", "DSR.0"]
    assert [b"Max-Age=0;" in line for line in lines] == [False, False, False, True, True, True, True]


TOKEN = jwt(40)
TAG = sha256(TOKEN.encode()).hexdigest()[:8]
GOOD = [chunk(TOKEN, 0, 2, TOKEN[:20]), chunk(TOKEN, 1, 2, TOKEN[20:])]
OTHER = [chunk(jwt(40, "y"), 0, 2, jwt(40, "y")[:20]), chunk(jwt(40, "y"), 1, 2, jwt(40, "y")[20:])]


def test_ck08_chunks_are_joined_in_the_order_of_their_names(cookies_of: CookiesOf) -> None:
    """The order in which the browser sends them does not matter."""
    presented = cookies_of().read([(b"cookie", "; ".join(reversed(GOOD)).encode())])
    assert presented == PresentedTokens(TOKEN, names=frozenset({"DS.0", "DS.1"}))


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(GOOD[:1], id="first-alone"),
        pytest.param(GOOD[1:], id="second-alone"),
        pytest.param([GOOD[0], OTHER[1]], id="two-generations"),
        pytest.param([GOOD[0], GOOD[1].replace("DS.1", "DS.2")], id="gap"),
        pytest.param([GOOD[0].replace("DS.0", "DS.2"), GOOD[1]], id="starts-at-one"),
        pytest.param([GOOD[0].replace("DS.0", "DS.1"), GOOD[1].replace("DS.1", "DS.0")], id="swapped"),
        pytest.param([*GOOD, GOOD[1].replace("DS.1", "DS.2")], id="one-too-many"),
        pytest.param([*GOOD, OTHER[1].replace("DS.1", "DS.2")], id="leftover"),
        pytest.param([GOOD[0].replace("~2~", "~3~"), GOOD[1]], id="counts-differ"),
        pytest.param([part.replace("~2~", "~3~") for part in GOOD], id="count-too-high"),
        pytest.param([part.replace("~2~", "~1~") for part in GOOD], id="count-out-of-grammar"),
        pytest.param([part.replace("~2~", "~02~") for part in GOOD], id="count-with-zero"),
        pytest.param([GOOD[0], GOOD[1][:-1]], id="truncated"),
        pytest.param([GOOD[0], GOOD[1] + "x"], id="longer"),
        pytest.param([GOOD[0], GOOD[1] + "~"], id="third-tilde"),
        pytest.param([GOOD[0], "DS.1="], id="empty-value"),
        pytest.param([part.replace("DS.", "DSR.") for part in GOOD[:1]], id="refresh-half"),
        pytest.param([GOOD[0], GOOD[1].replace("DS.", "DSR.")], id="half-of-each-name"),
        pytest.param([chunk("no.jwt", 0, 2, "no"), chunk("no.jwt", 1, 2, ".jwt")], id="joined-it-is-no-jwt"),
        pytest.param([chunk("a.b.c", 0, 1, "a.b.c")], id="one-chunk-of-one"),
        pytest.param([part.replace(TAG, TAG.upper()) for part in GOOD], id="upper-case-generation"),
    ],
)
def test_ck08_chunks_that_do_not_belong_together_are_no_token(
    cookies_of: CookiesOf, parts: list[str]
) -> None:
    """Contiguous, of one generation and count, with the hash that the generation names: or nothing."""
    presented = cookies_of().read([(b"cookie", "; ".join(parts).encode())])
    names = frozenset(part.partition("=")[0] for part in parts)
    assert presented == PresentedTokens(names=names)


def test_ck08_broken_chunks_beside_a_whole_cookie_do_not_count(cookies_of: CookiesOf) -> None:
    """The whole cookie is complete by itself; the leftovers are known, for the next write to delete."""
    presented = cookies_of().read([(b"cookie", f"{GOOD[0]}; DS=a.b.c".encode())])
    assert presented == PresentedTokens("a.b.c", names=frozenset({"DS", "DS.0"}))


def test_ck08_a_whole_cookie_and_chunks_of_another_token_are_ambiguous(cookies_of: CookiesOf) -> None:
    """Two tokens under one name are two values of it; the same token twice is one."""
    other = cookies_of().read([(b"cookie", f"{'; '.join(GOOD)}; DS=a.b.c; DSR=d.e.f".encode())])
    assert other == PresentedTokens(ambiguous=True, names=frozenset({"DS", "DS.0", "DS.1", "DSR"}))
    same = cookies_of().read([(b"cookie", f"{'; '.join(GOOD)}; DS={TOKEN}".encode())])
    assert same == PresentedTokens(TOKEN, names=frozenset({"DS", "DS.0", "DS.1"}))


def test_ck08_the_refresh_token_is_chunked_by_the_same_rules(cookies_of: CookiesOf) -> None:
    """Also its ambiguity takes both tokens away."""
    parts = "; ".join(GOOD).replace("DS.", "DSR.")
    assert cookies_of().read([(b"cookie", parts.encode())]).refresh == TOKEN
    presented = cookies_of().read([(b"cookie", f"{parts}; DSR=a.b.c; DS=d.e.f".encode())])
    assert (presented.ambiguous, presented.session, presented.refresh) == (True, None, None)


@pytest.mark.parametrize("text", ["a.b.c; Domain=evil", "a.b.c\r\nX: 1", "", "a.b", "a.b.é", "a.b.c "])
def test_a_text_that_is_no_jwt_never_gets_into_a_header(
    cookies_of: CookiesOf, pair_of: PairOf, text: str
) -> None:
    """Whatever upstream says, no attribute and no header line can be smuggled in (CK-06)."""
    for pair in (pair_of(session=text), pair_of(refresh=text)):
        with pytest.raises(TokenError) as refused:
            cookies_of().write(pair, now=NOW, secure=True, presented=NOTHING)
        assert refused.value.reason is TokenReason.MALFORMED


def test_lg06_tokens_stay_out_of_repr() -> None:
    """What a log line may show of the presented tokens is names."""
    shown = repr(PresentedTokens("secret.secret.secret", "secret.r.r", names=frozenset({"DS"})))
    assert shown == "PresentedTokens(ambiguous=False, names=frozenset({'DS'}))"
