"""``Set-Cookie`` values that set and delete the session cookies (requirements CK-02 to CK-09)."""

from collections.abc import Callable

import pytest
from starlette.types import Message

from fastapi_descope._auth.credentials import CookieAction, Credentials
from fastapi_descope._web.cookies import ResponseCookies, SessionCookies
from fastapi_descope.errors import TokenError, TokenReason
from fastapi_descope.session import TokenPair
from tests.helpers.cookie_jar import StandardJar
from tests.helpers.scopes import scope_of

NOW = 1_700_000_000
DELETION = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
NOTHING = Credentials()

CookiesOf = Callable[..., SessionCookies]
ReadCookies = Callable[..., Credentials]
PairOf = Callable[..., TokenPair]


def names(lines: list[bytes]) -> list[str]:
    """Return the names of the cookies that are set or deleted."""
    return [line.partition(b"=")[0].decode("ascii") for line in lines]


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
def test_ck04_set_cookie_values_have_all_attributes(
    cookies_of: CookiesOf, pair_of: PairOf, configuration: dict[str, object], attributes: str, *, secure: bool
) -> None:
    """Every attribute in every configuration; each cookie lives as long as its token (CK-04)."""
    lines = cookies_of(**configuration).write(pair_of(), now=NOW, secure=secure, credentials=NOTHING)
    assert [line.decode() for line in lines] == [
        f"DS=s.s.s; Max-Age=600; {attributes}",
        f"DSR=r.r.r; Max-Age=86400; {attributes}",
    ]


@pytest.mark.parametrize("prefix", ["__Host-", "__Secure-"])
@pytest.mark.parametrize("secure", [False, True])
def test_ck03_prefixed_cookies_are_always_secure(
    cookies_of: CookiesOf, pair_of: PairOf, prefix: str, *, secure: bool
) -> None:
    """A browser drops a prefixed cookie without Secure, on loopback too."""
    cookies = cookies_of(cookie_prefix=prefix, public_url=None)
    lines = cookies.write(pair_of(), now=NOW, secure=secure, credentials=NOTHING)
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
def test_ck04_max_age_is_the_remaining_lifetime_and_never_negative(
    cookies_of: CookiesOf, pair_of: PairOf, now: float, age: int
) -> None:
    """Max-Age is the remaining lifetime of the token, rounded down."""
    line = cookies_of().write(pair_of(), now=now, secure=True, credentials=NOTHING)[0]
    assert line.split(b"; ")[1] == b"Max-Age=%d" % age


def test_ck07_clear_deletes_both_cookies_even_if_none_was_sent(cookies_of: CookiesOf) -> None:
    """The deletions repeat the attributes with which the cookies are set."""
    assert [line.decode() for line in cookies_of().clear(NOTHING, secure=True)] == [
        f"DS=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
        f"DSR=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
    ]


def test_ck07_clear_deletes_every_chunk_that_was_sent(
    cookies_of: CookiesOf, read_cookies: ReadCookies
) -> None:
    """Leftover chunks are deleted, and other cookies stay."""
    cookies = cookies_of(cookie_domain="example.com", cookie_samesite="strict")
    credentials = read_cookies(
        [(b"cookie", b"DS.3=rubbish; DSR=d.e.f; DSX=1; DS.0=; DSR.1=x")],
        cookie_domain="example.com",
        cookie_samesite="strict",
    )
    host_only = f"{DELETION}; Path=/; HttpOnly; SameSite=Strict; Secure"
    attributes = host_only.replace("Path=/;", "Path=/; Domain=example.com;")
    assert [line.decode() for line in cookies.clear(credentials, secure=True)] == [
        *(f"{name}=; {attributes}" for name in ("DS", "DS.0", "DS.3", "DSR", "DSR.1")),
        # Those of a release without a Domain.
        *(f"{name}=; {host_only}" for name in ("DS.0", "DS.3", "DSR", "DSR.1")),
    ]


def test_clear_refresh_deletes_only_the_refresh_cookie(
    cookies_of: CookiesOf, read_cookies: ReadCookies
) -> None:
    """A rejected refresh token does not delete the session cookie (KD-02)."""
    cookies = cookies_of()
    credentials = read_cookies([(b"cookie", b"DS=a.b.c; DS.1=x; DSR=d.e.f; DSR.2=x")])
    attributes = f"{DELETION}; Path=/; HttpOnly; SameSite=Lax"
    for secure, flag in ((False, ""), (True, "; Secure")):
        assert [line.decode() for line in cookies.clear_refresh(credentials, secure=secure)] == [
            f"DSR=; {attributes}{flag}",
            f"DSR.2=; {attributes}{flag}",
        ]


def test_ck02_duplicates_are_deleted_under_each_domain_of_this_host(cookies_of: CookiesOf) -> None:
    """Except the configured one, under which our own cookies are."""
    cookies = cookies_of(cookie_domain="example.com")
    assert [line.decode() for line in cookies.delete_duplicates(["DSR", "DS"], secure=True)] == [
        f"DS=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
        f"DSR=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
        f"DS=; {DELETION}; Path=/; Domain=app.example.com; HttpOnly; SameSite=Lax; Secure",
        f"DSR=; {DELETION}; Path=/; Domain=app.example.com; HttpOnly; SameSite=Lax; Secure",
    ]


def test_ck05_duplicates_are_deleted_as_securely_as_cookies_are_set(cookies_of: CookiesOf) -> None:
    """A browser keeps a secure cookie if the deletion is not."""
    cookies = cookies_of(cookie_domain="example.com")
    response = ResponseCookies(cookies, scope_of("localhost:8000", scheme="http"))

    assert response.delete_duplicates(["DS"])

    message: Message = {"type": "http.response.start", "status": 200, "headers": []}
    response.set_headers(message, CookieAction.KEEP, NOTHING, NOW)
    lines = [value for name, value in message["headers"] if name == b"set-cookie"]
    assert lines
    assert all(b"; Secure" in line for line in lines)


@pytest.mark.parametrize(("scheme", "secure"), [("https", True), ("http", False)])
def test_ck05_without_prefix_and_public_url_the_scheme_of_the_request_decides(
    cookies_of: CookiesOf, pair_of: PairOf, read_cookies: ReadCookies, scheme: str, *, secure: bool
) -> None:
    """For cookies that are written, and for those that are deleted."""
    cookies = cookies_of(public_url=None, cookie_prefix="", former_cookies="OLD")
    credentials = read_cookies([(b"cookie", b"DS=a.b.c; DSR=d.e.f; OLD=g.h.i")], former_cookies="OLD")
    for change in (pair_of(), CookieAction.CLEAR, CookieAction.CLEAR_REFRESH):
        response = ResponseCookies(cookies, scope_of("localhost:8000", scheme=scheme))
        message: Message = {"type": "http.response.start", "status": 200, "headers": []}

        response.set_headers(message, change, credentials, NOW)

        lines = [value for name, value in message["headers"] if name == b"set-cookie"]
        assert lines
        assert {line.endswith(b"; Secure") for line in lines} == {secure}


def test_ck02_a_clear_deletes_only_our_cookies(cookies_of: CookiesOf, read_cookies: ReadCookies) -> None:
    """Duplicates under other domains are deleted by login, callback and logout only."""
    cookies = cookies_of()
    credentials = read_cookies([(b"cookie", b"DS=a.b.c")])
    assert names(cookies.clear(credentials, secure=True)) == ["DS", "DSR"]


def test_ck02_ck11_a_planted_cookie_is_deleted_and_ours_stays(
    cookies_of: CookiesOf, read_cookies: ReadCookies, pair_of: PairOf
) -> None:
    """A cookie that a sibling set for the whole domain can be deleted. The session works again."""
    cookies, jar = cookies_of(), StandardJar("https://app.example.com/")
    jar.receive(cookies.write(pair_of(), now=NOW, secure=True, credentials=NOTHING))
    jar.receive([b"DS=x.y.z; Domain=example.com; Path=/; Secure"])
    credentials = read_cookies(jar.headers)
    assert credentials.ambiguous is True
    jar.receive(cookies.delete_duplicates(credentials.cookie_names, secure=True))
    assert read_cookies(jar.headers).session == "s.s.s"


def test_ck02_a_login_deletes_duplicate_cookies(
    cookies_of: CookiesOf, read_cookies: ReadCookies, pair_of: PairOf
) -> None:
    """The next login deletes the host-only duplicate from before a Domain was configured."""
    jar = StandardJar("https://app.example.com/")
    jar.receive(cookies_of().write(pair_of("old.old.old"), now=NOW, secure=True, credentials=NOTHING))
    cookies = cookies_of(cookie_domain="example.com")
    jar.receive(cookies.write(pair_of("new.new.new"), now=NOW, secure=True, credentials=NOTHING))
    credentials = read_cookies(jar.headers, cookie_domain="example.com")
    assert credentials.ambiguous is True
    jar.receive(cookies.delete_duplicates(credentials.cookie_names, secure=True))
    jar.receive(cookies.write(pair_of("last.last.last"), now=NOW, secure=True, credentials=credentials))
    assert read_cookies(jar.headers, cookie_domain="example.com").session == "last.last.last"


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
    read_cookies: ReadCookies,
    pair_of: PairOf,
    url: str,
    configuration: dict[str, object],
    size: int,
) -> None:
    """An independent cookie jar stores what is set and drops what is deleted, in every configuration."""
    cookies, jar, secure = cookies_of(**configuration), StandardJar(url), url.startswith("https")
    pair = pair_of(f"h.p.{'x' * size}", f"h.p.{'y' * size}")
    jar.receive(cookies.write(pair, now=NOW, secure=secure, credentials=NOTHING))
    credentials = read_cookies(jar.headers, **configuration)
    assert (credentials.session, credentials.refresh) == (pair.session_jwt, pair.refresh.text)
    assert sorted(credentials.cookie_names) == jar.names
    jar.receive(cookies.clear(credentials, secure=secure))
    assert jar.names == []


def test_ck09_no_cookie_is_set_and_deleted_in_one_response(
    cookies_of: CookiesOf, read_cookies: ReadCookies, pair_of: PairOf
) -> None:
    """The order in which a browser processes the values does not matter."""
    cookies = cookies_of()
    credentials = read_cookies([(b"cookie", b"DS=x; DS.0=x; DS.1=x; DS.2=x; DS.3=x; DSR=x; DSR.0=x")])
    lines = cookies.write(pair_of(f"h.p.{'x' * 5_000}"), now=NOW, secure=True, credentials=credentials)
    assert names(lines) == ["DS.0", "DS.1", "DSR", "DS", "DS.2", "DS.3", "DSR.0"]
    assert [b"Max-Age=0;" in line for line in lines] == [False, False, False, True, True, True, True]


@pytest.mark.parametrize("text", ["a.b.c; Domain=evil", "a.b.c\r\nX: 1", "", "a.b", "a.b.é", "a.b.c "])
def test_ck06_a_malformed_token_is_never_written_to_a_header(
    cookies_of: CookiesOf, pair_of: PairOf, text: str
) -> None:
    """Descope cannot inject attributes or header lines (CK-06)."""
    for pair in (pair_of(session=text), pair_of(refresh=text)):
        with pytest.raises(TokenError) as refused:
            cookies_of().write(pair, now=NOW, secure=True, credentials=NOTHING)
        assert refused.value.reason is TokenReason.MALFORMED


def test_ck05_host_only_deletions_are_secure_if_the_cookies_are(cookies_of: CookiesOf) -> None:
    """A browser ignores the deletion of a Secure cookie without Secure."""
    cookies = cookies_of(cookie_domain="example.com")
    deleted = cookies.delete_duplicates(["DS"], secure=True)
    assert f"DS=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure".encode() in deleted
    assert all(line.endswith(b"; Secure") for line in deleted)


def test_ck14_large_headers_are_logged_once(cookies_of: CookiesOf, caplog: pytest.LogCaptureFixture) -> None:
    """More than 4,000 bytes, with the separators of a header line. The server adds a few."""
    cookies = cookies_of()
    cookies.report_size([(b"location", b"/"), (b"set-cookie", b"x" * 3_973)])
    assert not caplog.messages

    for _ in range(2):
        cookies.report_size([(b"location", b"/"), (b"set-cookie", b"x" * 3_974)])

    [line] = caplog.messages
    assert "set proxy_buffer_size 32k" in line
    assert "large_client_header_buffers" in line
