"""Cookies are read as they were written, and foreign bytes never become a token."""

from typing import NamedTuple, get_args

from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._auth.credentials import Credentials
from fastapi_descope._web.cookies import SessionCookies
from fastapi_descope._web.credentials import CredentialsReader, Headers
from fastapi_descope._web.login_transactions import LoginTransactions
from fastapi_descope.events import LoginMethod
from fastapi_descope.session import AuthSession, RefreshToken, TokenPair
from fastapi_descope.settings import DescopeSettings
from tests.helpers.cookie_jar import PlainJar

NOW = 1_700_000_000
SETTINGS = DescopeSettings(
    project_id="P2abcdefghijklmnopqrstuvwxyz", public_url="https://app.example.com", cookie_prefix=""
)
COOKIES = SessionCookies(SETTINGS)
READER = CredentialsReader(SETTINGS)
LOGINS = LoginTransactions()
NAMES = [base + suffix for base in ("DS", "DSR") for suffix in ("", ".0", ".1", ".2", ".3")]

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# Four chunks of the longer name hold this much.
LARGEST = 4 * (4_096 - len("DSR.0") - len("12345678~4~"))


class Token(NamedTuple):
    """A recipe for a token. Hypothesis varies the seed, and repetition gives the size."""

    seed: str
    size: int

    @property
    def text(self) -> str:
        """A text with the grammar of a JWT, of the wanted size."""
        signature = self.seed * (self.size // len(self.seed) + 1)
        return f"e30.e30.{signature}"[: self.size]


TOKENS = st.builds(
    Token, st.text(ALPHABET, min_size=1, max_size=40), st.integers(min_value=9, max_value=LARGEST)
)


def read(headers: Headers) -> Credentials:
    """Read the credentials in the headers of a GET request."""
    return READER.read({"type": "http", "method": "GET", "headers": headers})


def pair_of(session: Token, refresh: Token) -> TokenPair:
    """Return the two tokens as a response of Descope would contain them."""
    claims: dict[str, object] = {"sub": "U1", "iat": NOW, "exp": NOW + 600}
    return TokenPair(
        session_jwt=session.text,
        session=AuthSession.from_claims(claims),
        refresh=RefreshToken.from_claims(refresh.text, claims),
    )


FOREIGN = st.dictionaries(
    st.text(ALPHABET, min_size=1, max_size=12).filter(lambda name: name not in NAMES),
    st.text(ALPHABET + "!#$%&'()*+./:<=>?@[]^`{|}~", max_size=40),
    max_size=5,
)


@given(FOREIGN, st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=4))
def test_ck08_the_last_written_tokens_are_read(
    foreign: dict[str, str], pairs: list[tuple[Token, Token]]
) -> None:
    """Tokens may grow and shrink, and cookies of the app stay (CK-10)."""
    browser = PlainJar(foreign)
    for session, refresh in pairs:
        pair, credentials = pair_of(session, refresh), read(browser.headers)
        browser.receive(COOKIES.write(pair, now=NOW, secure=True, credentials=credentials))
        again = read(browser.headers)
        assert (again.session, again.refresh, again.ambiguous) == (session.text, refresh.text, False)
        assert again.cookie_names | foreign.keys() == browser.cookies.keys()
    browser.receive(COOKIES.clear(read(browser.headers), secure=True))
    assert browser.cookies == foreign


@given(TOKENS, TOKENS, st.permutations(range(8)), st.integers(min_value=1, max_value=8))
def test_ck08_chunks_of_two_tokens_never_combine(
    first: Token, second: Token, order: list[int], count: int
) -> None:
    """A mixture of the cookies of two sessions yields one of their tokens, or none."""
    lines: list[bytes] = []
    for token in (first, second):
        pair = pair_of(token, Token("r", 9))
        lines += COOKIES.write(pair, now=NOW, secure=True, credentials=Credentials())[:-1]
    mixture = [lines[index].partition(b";")[0] for index in order[:count] if index < len(lines)]
    credentials = read([(b"cookie", b"; ".join(mixture))])
    assert credentials.session in (None, first.text, second.text)
    assert credentials.refresh is None


# Pieces of malformed cookie headers.
PIECES = st.sampled_from(
    [
        *(b"DS", b"DSR", b"DS=", b"DSR=", b"=", b";", b"; ", b",", b" ", b"\t", b"\xa0", b"\x85", b"\x1f"),
        *(b"\x00", b"\r\n", b'"', b"\\073", b"$Version=1", b"__Host-", b"ds=", b".0=", b".3=", b".9="),
        *(b"a.b.c", b"a..c", b"0123abcd~2~a.b", b"0123abcd~2~.c", b"~", b".", b"\xff", b"%3b"),
        *(b"__Host-descope_login_", b"descope_login_", b"0123456789abcdef="),
    ]
)
HOSTILE = st.one_of(st.binary(), st.lists(PIECES, max_size=30).map(b"".join))


@given(st.lists(st.tuples(st.sampled_from([b"cookie", b"cookies", b"x"]), HOSTILE), max_size=5))
def test_ck01_any_bytes_are_parsed_and_every_token_was_sent_under_its_name(
    headers: list[tuple[bytes, bytes]],
) -> None:
    """A token that is read occurs in a Cookie header, after its own name."""
    credentials = read(headers)
    sent = [line for name, line in headers if name == b"cookie"]
    for name, token in (("DS", credentials.session), ("DSR", credentials.refresh)):
        assert token is None or any(f"{name}={token}".encode() in line for line in sent)
    assert credentials.cookie_names <= frozenset(NAMES)
    assert COOKIES.clear(credentials, secure=True)


@given(HOSTILE, HOSTILE)
def test_ck02_no_other_cookie_replaces_a_valid_one(before: bytes, after: bytes) -> None:
    """A sibling domain can make the cookie ambiguous, but cannot replace its token (CK-11)."""
    credentials = read([(b"cookie", b"; ".join((before, b"DS=good.good.good", after)))])
    assert credentials.session in (None, "good.good.good")
    assert credentials.ambiguous is (credentials.session is None)


@given(st.binary(max_size=8), st.binary(max_size=3))
def test_ck01_a_name_has_exactly_one_spelling(before: bytes, after: bytes) -> None:
    """Extra bytes make it another name, except blanks and the end of the pair before."""
    lead = before.rpartition(b";")[2]
    exact = not lead.strip(b" \t") and not after
    credentials = read([(b"cookie", before + b"DSR" + after + b"=a.b.c")])
    assert (credentials.refresh == "a.b.c") is exact


@given(header=HOSTILE, state=st.text(), secure=st.booleans())
def test_cb03_no_cookie_and_state_match_without_a_login(header: bytes, state: str, *, secure: bool) -> None:
    """A browser without a pending login finds none."""
    headers = [(b"cookie", header)]
    for method in get_args(LoginMethod):
        assert LOGINS.find(headers, state=state, now=NOW, secure=secure, methods=(method,)) is None
    assert LOGINS.delete(headers, state=state, secure=secure) == []
    assert LOGINS.start(headers, return_to="/", now=NOW, secure=secure)[1]


@given(
    targets=st.lists(st.text(max_size=300), min_size=1, max_size=8),
    noise=HOSTILE,
    secure=st.booleans(),
)
def test_cb04_the_last_five_logins_are_found(targets: list[str], noise: bytes, *, secure: bool) -> None:
    """Each has its own target if it can be stored, within 4 KiB together."""
    browser, started = PlainJar({}), [("", "")]
    for second, target in enumerate(targets):
        headers = [*browser.headers, (b"cookie", noise)]
        state, lines = LOGINS.start(headers, return_to=target, now=NOW + second, secure=secure)
        browser.receive(lines)
        started.append((state, target if target.isascii() else ""))
    assert browser.size <= 4_096
    for state, target in started[1:][-5:]:
        transaction = LOGINS.find(browser.headers, state=state, now=NOW + 10, secure=secure)
        assert transaction is not None
        assert transaction.return_to == target
