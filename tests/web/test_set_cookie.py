"""Session cookies on the wire: the exact lines that set and delete them (requirements CK-02 to CK-09)."""

from collections.abc import Callable

import pytest

from fastapi_descope._auth.authenticator import Credentials
from fastapi_descope._web.cookies import SessionCookies
from fastapi_descope.errors import TokenError, TokenReason
from fastapi_descope.session import TokenPair
from tests.helpers.cookie_jar import StandardJar

NOW = 1_700_000_000
DELETION = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
NOTHING = Credentials()

CookiesOf = Callable[..., SessionCookies]
ReadCookies = Callable[..., Credentials]
PairOf = Callable[..., TokenPair]


def names(lines: list[bytes]) -> list[str]:
    """The names of the cookies that are set or deleted."""
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
def test_ck04_the_set_cookie_lines_are_golden(
    cookies_of: CookiesOf, pair_of: PairOf, configuration: dict[str, object], attributes: str, *, secure: bool
) -> None:
    """Every attribute, in every configuration; each cookie lives as long as its token (CK-04)."""
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
    """A browser drops a prefixed cookie that is not, also on loopback."""
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
def test_ck04_max_age_is_what_is_left_and_never_negative(
    cookies_of: CookiesOf, pair_of: PairOf, now: float, age: int
) -> None:
    """The browser forgets the session cookie when the token expires, whole seconds before it at most."""
    line = cookies_of().write(pair_of(), now=now, secure=True, credentials=NOTHING)[0]
    assert line.split(b"; ")[1] == b"Max-Age=%d" % age


def test_ck07_clear_deletes_both_even_if_neither_was_seen(cookies_of: CookiesOf) -> None:
    """Logging out is thorough: the deletions mirror how the cookies were set."""
    assert [line.decode() for line in cookies_of().clear(NOTHING, secure=True)] == [
        f"DS=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
        f"DSR=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
    ]


def test_ck07_clear_deletes_every_chunk_that_was_seen(
    cookies_of: CookiesOf, read_cookies: ReadCookies
) -> None:
    """Leftovers go as well, and names of other people stay."""
    cookies = cookies_of(cookie_domain="example.com", cookie_samesite="strict")
    presented = read_cookies(
        [(b"cookie", b"DS.3=rubbish; DSR=d.e.f; DSX=1; DS.0=; DSR.1=x")],
        cookie_domain="example.com",
        cookie_samesite="strict",
    )
    attributes = f"{DELETION}; Path=/; Domain=example.com; HttpOnly; SameSite=Strict; Secure"
    assert [line.decode() for line in cookies.clear(presented, secure=True)] == [
        f"{name}=; {attributes}" for name in ("DS", "DS.0", "DS.3", "DSR", "DSR.1")
    ]


def test_one_cookie_alone_can_go(cookies_of: CookiesOf, read_cookies: ReadCookies) -> None:
    """A wrong token in one cookie does not cost the other one (KD-02)."""
    cookies = cookies_of()
    presented = read_cookies([(b"cookie", b"DS=a.b.c; DS.1=x; DSR=d.e.f; DSR.2=x")])
    attributes = f"{DELETION}; Path=/; HttpOnly; SameSite=Lax"
    assert [line.decode() for line in cookies.clear_refresh(presented, secure=False)] == [
        f"DSR=; {attributes}",
        f"DSR.2=; {attributes}",
    ]


def test_ck02_an_ambiguous_clear_also_deletes_the_host_only_twin(
    cookies_of: CookiesOf, read_cookies: ReadCookies
) -> None:
    """Two cookies of one name are both deleted, wherever this host can reach them, and the browser heals."""
    cookies = cookies_of(cookie_domain="example.com")
    presented = read_cookies([(b"cookie", b"DS=a.b.c; DS=x.y.z")], cookie_domain="example.com")
    assert [line.decode() for line in cookies.clear(presented, secure=True)] == [
        f"DS=; {DELETION}; Path=/; Domain=example.com; HttpOnly; SameSite=Lax; Secure",
        f"DSR=; {DELETION}; Path=/; Domain=example.com; HttpOnly; SameSite=Lax; Secure",
        f"DS=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
        f"DSR=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure",
        f"DS=; {DELETION}; Path=/; Domain=app.example.com; HttpOnly; SameSite=Lax; Secure",
        f"DSR=; {DELETION}; Path=/; Domain=app.example.com; HttpOnly; SameSite=Lax; Secure",
    ]


def test_ck02_an_unambiguous_clear_deletes_our_own_alone(
    cookies_of: CookiesOf, read_cookies: ReadCookies
) -> None:
    """There is no twin then."""
    cookies = cookies_of()
    presented = read_cookies([(b"cookie", b"DS=a.b.c")])
    assert names(cookies.clear(presented, secure=True)) == ["DS", "DSR"]


def test_ck02_ck11_a_planted_cookie_is_deleted_and_ours_stays(
    cookies_of: CookiesOf, read_cookies: ReadCookies, pair_of: PairOf
) -> None:
    """What a sibling wrote for the whole domain is within our reach; our own session counts again."""
    cookies, jar = cookies_of(), StandardJar("https://app.example.com/")
    jar.receive(cookies.write(pair_of(), now=NOW, secure=True, credentials=NOTHING))
    jar.receive([b"DS=x.y.z; Domain=example.com; Path=/; Secure"])
    presented = read_cookies(jar.headers)
    assert presented.ambiguous is True
    jar.receive(cookies.drop_duplicates(presented, secure=True))
    assert read_cookies(jar.headers).session == "s.s.s"


def test_ck02_a_login_heals_an_ambiguous_browser(
    cookies_of: CookiesOf, read_cookies: ReadCookies, pair_of: PairOf
) -> None:
    """The host-only twin from before a Domain was configured does not survive the next login."""
    jar = StandardJar("https://app.example.com/")
    jar.receive(cookies_of().write(pair_of("old.old.old"), now=NOW, secure=True, credentials=NOTHING))
    cookies = cookies_of(cookie_domain="example.com")
    jar.receive(cookies.write(pair_of("new.new.new"), now=NOW, secure=True, credentials=NOTHING))
    presented = read_cookies(jar.headers, cookie_domain="example.com")
    assert presented.ambiguous is True
    jar.receive(cookies.write(pair_of("last.last.last"), now=NOW, secure=True, credentials=presented))
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
    """In every configuration a jar that is not ours keeps what we set and drops what we delete."""
    cookies, jar, secure = cookies_of(**configuration), StandardJar(url), url.startswith("https")
    pair = pair_of(f"h.p.{'x' * size}", f"h.p.{'y' * size}")
    jar.receive(cookies.write(pair, now=NOW, secure=secure, credentials=NOTHING))
    presented = read_cookies(jar.headers, **configuration)
    assert (presented.session, presented.refresh) == (pair.session_jwt, pair.refresh.text)
    assert sorted(presented.cookie_names) == jar.names
    jar.receive(cookies.clear(presented, secure=secure))
    assert jar.names == []


def test_ck09_no_cookie_is_set_and_deleted_in_one_response(
    cookies_of: CookiesOf, read_cookies: ReadCookies, pair_of: PairOf
) -> None:
    """The order in which a browser takes the lines does not matter."""
    cookies = cookies_of()
    presented = read_cookies([(b"cookie", b"DS=x; DS.0=x; DS.1=x; DS.2=x; DS.3=x; DSR=x; DSR.0=x")])
    lines = cookies.write(pair_of(f"h.p.{'x' * 5_000}"), now=NOW, secure=True, credentials=presented)
    assert names(lines) == ["DS.0", "DS.1", "DSR", "DS", "DS.2", "DS.3", "DSR.0"]
    assert [b"Max-Age=0;" in line for line in lines] == [False, False, False, True, True, True, True]


@pytest.mark.parametrize("text", ["a.b.c; Domain=evil", "a.b.c\r\nX: 1", "", "a.b", "a.b.é", "a.b.c "])
def test_ck06_a_text_that_is_no_jwt_never_gets_into_a_header(
    cookies_of: CookiesOf, pair_of: PairOf, text: str
) -> None:
    """Whatever upstream says, no attribute and no header line can be smuggled in (CK-06)."""
    for pair in (pair_of(session=text), pair_of(refresh=text)):
        with pytest.raises(TokenError) as refused:
            cookies_of().write(pair, now=NOW, secure=True, credentials=NOTHING)
        assert refused.value.reason is TokenReason.MALFORMED


def test_ck05_host_only_deletions_are_as_secure_as_the_connection(
    cookies_of: CookiesOf, pair_of: PairOf
) -> None:
    """A browser ignores the deletion of a Secure cookie by a line that is not."""
    cookies = cookies_of(cookie_domain="example.com")
    ambiguous = Credentials(ambiguous=True, cookie_names=frozenset({"DS"}))
    written = cookies.write(pair_of(), now=NOW, secure=True, credentials=ambiguous)
    cleared = cookies.clear_refresh(ambiguous, secure=True)
    assert f"DS=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure".encode() in written
    assert f"DSR=; {DELETION}; Path=/; HttpOnly; SameSite=Lax; Secure".encode() in cleared
    assert all(line.endswith(b"; Secure") for line in (*written, *cleared))
