"""Tokens that are too large for one cookie are split into chunks and joined again (CK-08)."""

from collections.abc import Callable
from hashlib import sha256

import pytest

from fastapi_descope._auth.credentials import Credentials
from fastapi_descope._web.cookies import SessionCookies
from fastapi_descope.errors import SessionTooLarge
from fastapi_descope.session import TokenPair
from tests.helpers.cookie_jar import StandardJar

NOW = 1_700_000_000
NOTHING = Credentials()

CookiesOf = Callable[..., SessionCookies]
ReadCookies = Callable[..., Credentials]
PairOf = Callable[..., TokenPair]


def jwt(length: int, letter: str = "x") -> str:
    """Return a text of ``length`` characters with the grammar of a JWT."""
    return f"h.p.{letter * (length - 4)}"


def chunk(token: str, index: int, count: int, part: str) -> str:
    """Return a well-formed chunk as a cookie pair."""
    return f"DS.{index}={sha256(token.encode()).hexdigest()[:8]}~{count}~{part}"


def held_by_browser(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the request headers of a browser that stores exactly these cookies."""
    return [(b"cookie", b"; ".join(line.partition(b";")[0] for line in lines))]


def values(lines: list[bytes]) -> list[tuple[str, int]]:
    """Return the name of each cookie, and the size of its name and value together."""
    pairs = [line.partition(b";")[0].partition(b"=") for line in lines]
    return [(name.decode(), len(name) + len(value)) for name, _, value in pairs]


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
    cookies_of: CookiesOf,
    read_cookies: ReadCookies,
    pair_of: PairOf,
    length: int,
    cookies: list[tuple[str, int]],
) -> None:
    """4,096 bytes of name and value fit; a larger token is split."""
    lines = cookies_of().write(pair_of(jwt(length)), now=NOW, secure=True, credentials=NOTHING)
    assert values(lines) == [*cookies, ("DSR", 8)]
    assert read_cookies(held_by_browser(lines)).session == jwt(length)


def test_ck08_a_token_beyond_four_chunks_raises_session_too_large(
    cookies_of: CookiesOf, pair_of: PairOf
) -> None:
    """An explicit error replaces cookies that a browser drops and a login that loops."""
    with pytest.raises(SessionTooLarge):
        cookies_of().write(pair_of(jwt(4 * 4_081 + 1)), now=NOW, secure=True, credentials=NOTHING)


def test_ck08_a_longer_name_leaves_less_space_for_the_token(cookies_of: CookiesOf, pair_of: PairOf) -> None:
    """The name counts towards the 4,096 bytes."""
    lines = cookies_of(cookie_prefix="__Host-").write(
        pair_of(jwt(4_094)), now=NOW, secure=True, credentials=NOTHING
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
    read_cookies: ReadCookies,
    pair_of: PairOf,
    before: int,
    after: int,
    left: list[str],
) -> None:
    """Unused chunks are deleted, and so is the whole cookie that chunks replace."""
    cookies, jar = cookies_of(), StandardJar("https://app.example.com/")
    jar.receive(cookies.write(pair_of(jwt(before)), now=NOW, secure=True, credentials=NOTHING))
    credentials = read_cookies(jar.headers)
    jar.receive(cookies.write(pair_of(jwt(after, "y")), now=NOW, secure=True, credentials=credentials))
    assert jar.names == left
    assert read_cookies(jar.headers).session == jwt(after, "y")


TOKEN = jwt(40)
TAG = sha256(TOKEN.encode()).hexdigest()[:8]
GOOD = [chunk(TOKEN, 0, 2, TOKEN[:20]), chunk(TOKEN, 1, 2, TOKEN[20:])]
OTHER = [chunk(jwt(40, "y"), 0, 2, jwt(40, "y")[:20]), chunk(jwt(40, "y"), 1, 2, jwt(40, "y")[20:])]


def test_ck08_chunks_are_joined_in_the_order_of_their_names(read_cookies: ReadCookies) -> None:
    """The order in which the browser sends them does not matter."""
    credentials = read_cookies([(b"cookie", "; ".join(reversed(GOOD)).encode())])
    assert credentials == Credentials(session=TOKEN, cookie_names=frozenset({"DS.0", "DS.1"}))


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(GOOD[:1], id="first-alone"),
        pytest.param(GOOD[1:], id="second-alone"),
        pytest.param([GOOD[0], OTHER[1]], id="two-generations"),
        pytest.param([GOOD[0], GOOD[1].replace("DS.1", "DS.2")], id="gap"),
        pytest.param([GOOD[0].replace("DS.0", "DS.2"), GOOD[1]], id="starts-at-one"),
        pytest.param([GOOD[0].replace("DS.0", "DS.1"), GOOD[1].replace("DS.1", "DS.0")], id="swapped"),
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
def test_ck08_mismatched_chunks_are_no_token(read_cookies: ReadCookies, parts: list[str]) -> None:
    """Chunks must be contiguous, of one generation and count, and match the hash."""
    credentials = read_cookies([(b"cookie", "; ".join(parts).encode())])
    names = frozenset(part.partition("=")[0] for part in parts)
    assert credentials == Credentials(cookie_names=names, stray_chunks=names)


STRAYS = {
    "last alone": ["DS.3=0123abcd~4~x"],
    "complete but for one": ["DS.0=0123abcd~2~x"],
    "one too many": [GOOD[1].replace("DS.1", "DS.2")],
    "leftover of another token": [OTHER[1].replace("DS.1", "DS.2")],
    "another first": [OTHER[0]],
    "another last": [OTHER[1]],
    "another first, twice": [OTHER[0], OTHER[0] + "x"],
    "garbage": ["DS.2=garbage"],
    "garbage under a name in use": ["DS.0=garbage", "DS.1="],
    "of our generation, changed": [GOOD[0] + "x"],
    "of our generation, many": [f"DS.1={TAG}~2~{index:x}" for index in range(15)],
    "of our generation, another count": [part.replace("~2~", "~3~") for part in GOOD],
    "a set whose hash is wrong": [part.replace(TAG, "0123abcd") for part in GOOD],
    "several sets": [f"DS.{index}=0123abc{kind}~4~x" for index in range(3) for kind in "def0"],
}


@pytest.mark.parametrize("good", [["DS=a.b.c"], GOOD], ids=["whole", "chunked"])
@pytest.mark.parametrize("strays", STRAYS.values(), ids=STRAYS)
@pytest.mark.parametrize("first", [True, False], ids=["stray-first", "stray-last"])
def test_ck08_stray_chunks_hide_no_good_session(
    read_cookies: ReadCookies, good: list[str], strays: list[str], *, first: bool
) -> None:
    """Whatever a sibling domain plants: the complete token counts, and the strays are recorded by name."""
    parts = [*strays, *good] if first else [*good, *strays]
    credentials = read_cookies([(b"cookie", "; ".join([*parts, "DSR=d.e.f"]).encode())])
    assert (credentials.session, credentials.refresh) == ("a.b.c" if good != GOOD else TOKEN, "d.e.f")
    assert credentials.ambiguous is False
    assert credentials.stray_chunks == {part.partition("=")[0] for part in strays}


def test_ck08_few_combinations_of_chunks_are_tried(read_cookies: ReadCookies) -> None:
    """A sibling domain that plants many chunks of one generation causes no endless search."""
    token = jwt(50)
    strays = [chunk(token, 0, 2, f"a{number}") for number in range(16)]
    good = [chunk(token, 0, 2, token[:25]), chunk(token, 1, 2, token[25:])]

    found = [
        read_cookies([(b"cookie", "; ".join([*strays[:count], *good]).encode())]).session
        for count in (15, 16)
    ]

    assert found == [token, None]


def test_ck08_two_complete_sets_of_chunks_are_ambiguous(read_cookies: ReadCookies) -> None:
    """Their names are the same, so each name has two values."""
    credentials = read_cookies([(b"cookie", "; ".join([*GOOD, *reversed(OTHER)]).encode())])
    assert credentials == Credentials(ambiguous=True, cookie_names=frozenset({"DS.0", "DS.1"}))


def test_ck08_a_whole_cookie_and_chunks_of_another_token_are_ambiguous(read_cookies: ReadCookies) -> None:
    """Two different tokens under one name are ambiguous; the same token twice is not."""
    other = read_cookies([(b"cookie", f"{'; '.join(GOOD)}; DS=a.b.c; DSR=d.e.f".encode())])
    assert other == Credentials(
        ambiguous=True,
        cookie_names=frozenset({"DS", "DS.0", "DS.1", "DSR"}),
        refresh_rivals=("d.e.f",),
    )
    same = read_cookies([(b"cookie", f"{'; '.join(GOOD)}; DS={TOKEN}".encode())])
    assert same == Credentials(session=TOKEN, cookie_names=frozenset({"DS", "DS.0", "DS.1"}))


def test_ck08_the_refresh_token_is_chunked_by_the_same_rules(read_cookies: ReadCookies) -> None:
    """Also its ambiguity takes both tokens away."""
    parts = "; ".join(GOOD).replace("DS.", "DSR.")
    assert read_cookies([(b"cookie", parts.encode())]).refresh == TOKEN
    credentials = read_cookies([(b"cookie", f"{parts}; DSR=a.b.c; DS=d.e.f".encode())])
    assert (credentials.ambiguous, credentials.session, credentials.refresh) == (True, None, None)
