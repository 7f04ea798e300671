"""Logins under way: bound to one browser, for ten minutes, once (requirements CB-01 to CB-04)."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable

import pytest

from fastapi_descope._web.login_transactions import LoginTransactions, Transaction
from tests.helpers.cookie_jar import PlainJar

NOW = 1_700_000_000
DELETION = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax; Secure"

Begin = Callable[..., str]


@pytest.fixture
def logins() -> LoginTransactions:
    """The logins of an app."""
    return LoginTransactions()


@pytest.fixture
def browser() -> PlainJar:
    """A browser without cookies."""
    return PlainJar()


@pytest.fixture
def begin(logins: LoginTransactions, browser: PlainJar) -> Begin:
    """Begins a login in the browser; gives its state."""

    def run(return_to: str = "/reports", now: float = NOW) -> str:
        state, lines = logins.start(browser.headers, return_to=return_to, now=now, secure=True)
        browser.receive(lines)
        return state

    return run


@pytest.mark.parametrize(
    ("secure", "shape"),
    [
        pytest.param(
            True,
            r"__Host-descope_login_[0-9a-f]{16}=[\w-]{43}\.1700000000\.L3JlcG9ydHM"
            r"; Max-Age=600; Path=/; HttpOnly; SameSite=Lax; Secure",
            id="https",
        ),
        pytest.param(
            False,
            r"descope_login_[0-9a-f]{16}=[\w-]{43}\.1700000000\.L3JlcG9ydHM"
            r"; Max-Age=600; Path=/; HttpOnly; SameSite=Lax",
            id="http-on-loopback",
        ),
    ],
)
def test_the_set_cookie_line_is_golden(logins: LoginTransactions, shape: str, *, secure: bool) -> None:
    """Always Lax and host-only, whatever holds for the session; ``__Host-`` wherever Secure allows."""
    _, lines = logins.start([], return_to="/reports", now=NOW + 0.9, secure=secure)
    assert [bool(re.fullmatch(shape, line.decode())) for line in lines] == [True]


def test_cb03_the_state_has_256_bits_and_leaves_no_trace(logins: LoginTransactions) -> None:
    """No two logins share a state or a name, and the cookie does not tell the state (CB-03)."""
    begun = [logins.start([], return_to="/", now=NOW, secure=True) for _ in range(100)]
    assert {len(state) for state, _ in begun} == {43}
    assert len({state for state, _ in begun}) == 100
    assert len({line.partition(b"=")[0] for _, (line,) in begun}) == 100
    assert not any(state.encode() in line for state, (line,) in begun)


def test_cb02_the_browser_that_began_a_login_finds_it(
    logins: LoginTransactions, browser: PlainJar, begin: Begin
) -> None:
    """State and cookie meet: the login is found, with its target and its start."""
    state = begin("/reports?q=1#top")
    found = logins.find(browser.headers, state=state, now=NOW + 1, secure=True)
    assert found is not None
    assert (found.return_to, found.started_at) == ("/reports?q=1#top", NOW)


def test_cb02_another_browser_does_not(logins: LoginTransactions, browser: PlainJar, begin: Begin) -> None:
    """An attacker's state means nothing in a victim's browser, with or without a login of its own."""
    attackers = begin()
    assert logins.find(browser.headers, state=attackers, now=NOW, secure=True) is not None
    assert logins.find(PlainJar().headers, state=attackers, now=NOW, secure=True) is None
    victim = PlainJar()
    _, lines = logins.start([], return_to="/", now=NOW, secure=True)
    victim.receive(lines)
    assert logins.find(victim.headers, state=attackers, now=NOW, secure=True) is None
    assert logins.delete(victim.headers, state=attackers, secure=True) == []


@pytest.mark.parametrize(
    "state",
    [
        pytest.param("", id="empty"),
        pytest.param("x" * 42, id="short"),
        pytest.param("x" * 44, id="long"),
        pytest.param("x" * 50_000, id="50-KB"),
        pytest.param("é" * 43, id="not-ascii"),
        pytest.param("\ud800" + "x" * 42, id="lone-surrogate"),
        pytest.param("x" * 42 + "\n", id="newline"),
        pytest.param("x" * 43, id="never-begun"),
    ],
)
def test_cb03_a_state_that_we_never_gave_finds_nothing(
    logins: LoginTransactions, browser: PlainJar, begin: Begin, state: str
) -> None:
    """Whatever the query says, the answer is no login, not an exception."""
    begin()
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is None
    assert logins.delete(browser.headers, state=state, secure=True) == []


@pytest.mark.parametrize(
    ("now", "found"),
    [
        pytest.param(NOW, True, id="at-once"),
        pytest.param(NOW + 600, True, id="ten-minutes"),
        pytest.param(NOW + 600.5, False, id="half-a-second-more"),
        pytest.param(NOW - 60, True, id="clock-a-minute-behind"),
        pytest.param(NOW - 60.5, False, id="clock-further-behind"),
    ],
)
def test_cb03_a_login_counts_for_ten_minutes(
    logins: LoginTransactions, browser: PlainJar, begin: Begin, now: float, *, found: bool
) -> None:
    """Neither an old cookie nor one from the future opens the callback."""
    state = begin()
    transaction = logins.find(browser.headers, state=state, now=now, secure=True)
    assert (transaction is not None) is found


def test_cb04_a_login_counts_once(logins: LoginTransactions, browser: PlainJar, begin: Begin) -> None:
    """Ending a login deletes its cookie, so that the same callback URL is refused afterwards."""
    state = begin()
    (name,) = browser.cookies
    lines = logins.delete(browser.headers, state=state, secure=True)
    assert [line.decode() for line in lines] == [f"{name}=; {DELETION}"]
    browser.receive(lines)
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is None


def test_cb04_an_expired_login_is_deleted_too(
    logins: LoginTransactions, browser: PlainJar, begin: Begin
) -> None:
    """Failure cleans up like success."""
    state = begin(now=NOW - 3_600)
    browser.receive(logins.delete(browser.headers, state=state, secure=True))
    assert browser.cookies == {}


def test_cb04_two_tabs_log_in_side_by_side(
    logins: LoginTransactions, browser: PlainJar, begin: Begin
) -> None:
    """Each callback finds its own login, and ending one leaves the other."""
    first, second = begin("/one"), begin("/two", NOW + 1)
    browser.receive(logins.delete(browser.headers, state=first, secure=True))
    found = logins.find(browser.headers, state=second, now=NOW + 2, secure=True)
    assert found is not None
    assert found.return_to == "/two"


def test_cb04_the_sixth_login_ends_the_oldest(
    logins: LoginTransactions, browser: PlainJar, begin: Begin
) -> None:
    """Five fit side by side, whatever the order in which the browser sends them."""
    states = [begin(f"/{second}", NOW + second) for second in (3, 0, 4, 1, 2)]
    assert len(browser.cookies) == 5
    begin(now=NOW + 5)
    assert len(browser.cookies) == 5
    live = [logins.find(browser.headers, state=state, now=NOW + 5, secure=True) for state in states]
    assert [transaction and transaction.return_to for transaction in live] == ["/3", None, "/4", "/1", "/2"]


@pytest.mark.parametrize(
    ("length", "kept"),
    [
        pytest.param(1_024, 2, id="longest"),
        pytest.param(700, 3, id="four-are-8-bytes-too-many"),
        pytest.param(699, 4, id="four-are-4096-bytes"),
        pytest.param(546, 4, id="five-are-4-bytes-too-many"),
        pytest.param(545, 5, id="five-are-4095-bytes"),
    ],
)
def test_cb04_all_logins_together_stay_below_4_kib(
    browser: PlainJar, begin: Begin, length: int, kept: int
) -> None:
    """Long targets crowd out the oldest logins, so that the request header stays small."""
    for second in range(7):
        begin("/" + "x" * (length - 1), NOW + second)
    assert len(browser.cookies) == kept
    assert browser.size <= 4_096


def test_cb04_one_byte_over_4_kib_is_too_much(browser: PlainJar, begin: Begin) -> None:
    """Four logins that add up to 4,097 bytes are three."""
    for second, length in enumerate((700, 699, 699, 698)):
        begin("/" + "x" * (length - 1), NOW + second)
    assert len(browser.cookies) == 3


def test_a_crowded_out_login_makes_room_for_no_older_one(browser: PlainJar, begin: Begin) -> None:
    """What stays is always the newest: a small old login does not outlive a large newer one."""
    begin("/small", NOW)
    begin("/" + "x" * 1_000, NOW + 1)
    begin("/" + "y" * 1_000, NOW + 2)
    begin("/" + "z" * 1_000, NOW + 3)
    assert len(browser.cookies) == 2


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("x", id="one-part"),
        pytest.param(f"{'x' * 43}.1700000000", id="two-parts"),
        pytest.param(f"{'x' * 43}.1700000000.Lw.Lw", id="four-parts"),
        pytest.param(f"{'x' * 42}.1700000000.Lw", id="short-hash"),
        pytest.param(f"{'x' * 43}.-1700000000.Lw", id="negative-time"),
        pytest.param(f"{'x' * 43}.1.7e9.Lw", id="float-time"),
        pytest.param(f"{'x' * 43}.1_700_000_000.Lw", id="time-with-underscores"),
        pytest.param(f"{'x' * 43}.{'9' * 5_000}.Lw", id="huge-time"),
        pytest.param(f"{'x' * 43}.\xb2.Lw", id="superscript-time"),
        pytest.param(f"{'x' * 43}.1700000000.Lw==", id="padded"),
        pytest.param(f"{'x' * 43}.1700000000.L", id="impossible-base64"),
        pytest.param(f"{'x' * 43}.1700000000.Lx", id="second-spelling"),
        pytest.param(f"{'x' * 43}.1700000000.L/", id="other-alphabet"),
        pytest.param(f"{'x' * 43}.1700000000.w6k", id="not-ascii-inside"),
        pytest.param(f'"{"x" * 43}.1700000000.Lw"', id="quoted"),
        pytest.param("x" * 50_000, id="50-KB"),
        pytest.param(f"{'x' * 43}.1700000000.{'L' * 50_000}", id="50-KB-target"),
        pytest.param(f"{'x' * 43}.1700000000.Lw", id="expired"),
    ],
)
def test_cb03_broken_and_expired_cookies_are_swept_by_the_next_login(
    logins: LoginTransactions, browser: PlainJar, value: str
) -> None:
    """Nothing raises, nothing is believed, and the rubbish is deleted."""
    name = f"__Host-descope_login_{'0' * 16}"
    browser.cookies[name] = value
    _, lines = logins.start(browser.headers, return_to="/", now=NOW + 601, secure=True)
    assert [line.decode() for line in lines[1:]] == [f"{name}=; {DELETION}"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("__Host-descope_login_", id="no-suffix"),
        pytest.param(f"__Host-descope_login_{'0' * 15}", id="short"),
        pytest.param(f"__Host-descope_login_{'0' * 17}", id="long"),
        pytest.param(f"__Host-descope_login_{'A' * 16}", id="upper-case"),
        pytest.param(f"__Host-descope_login_{'0' * 15}\n", id="newline"),
        pytest.param(f"__host-descope_login_{'0' * 16}", id="lower-case-prefix"),
        pytest.param(f"\xa0__Host-descope_login_{'0' * 16}", id="nbsp-before"),
        pytest.param(f"descope_login_{'0' * 16}", id="without-the-prefix"),
        pytest.param(f"__Secure-descope_login_{'0' * 16}", id="other-prefix"),
    ],
)
def test_a_name_that_is_not_ours_is_left_alone(
    logins: LoginTransactions, browser: PlainJar, begin: Begin, name: str
) -> None:
    """A good value under another name is no login, and no reason to delete that cookie."""
    state = begin()
    (value,) = browser.cookies.values()
    browser.cookies = {name: value}
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is None
    assert logins.delete(browser.headers, state=state, secure=True) == []
    assert len(logins.start(browser.headers, return_to="/", now=NOW, secure=True)[1]) == 1


def test_login_cookies_of_http_and_https_never_mix(logins: LoginTransactions, browser: PlainJar) -> None:
    """A sibling domain can write the plain name, so https believes ``__Host-`` alone."""
    state, lines = logins.start([], return_to="/", now=NOW, secure=False)
    browser.receive(lines)
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is None
    assert logins.find(browser.headers, state=state, now=NOW, secure=False) is not None
    assert logins.delete(browser.headers, state=state, secure=True) == []


def test_two_cookies_that_claim_one_state_are_not_believed(
    logins: LoginTransactions, browser: PlainJar, begin: Begin
) -> None:
    """Different targets for one state: nobody knows which is the user's. The same twice is one."""
    state = begin("/reports")
    ((name, value),) = browser.cookies.items()
    other = f"__Host-descope_login_{'0' * 16}"
    browser.cookies[other] = value
    found = logins.find(browser.headers, state=state, now=NOW, secure=True)
    assert found is not None
    assert found.return_to == "/reports"
    evil = urlsafe_b64encode(b"/elsewhere").rstrip(b"=").decode()
    browser.cookies[other] = f"{value.rpartition('.')[0]}.{evil}"
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is None
    lines = logins.delete(browser.headers, state=state, secure=True)
    assert [line.partition(b"=")[0].decode() for line in lines] == sorted([name, other])


def test_only_so_many_cookies_are_looked_at(
    logins: LoginTransactions, browser: PlainJar, begin: Begin
) -> None:
    """A browser stuffed with cookies costs a bounded amount of work."""
    state = begin()
    mine = dict(browser.cookies)
    stuffing = {f"__Host-descope_login_{index:016x}": "x" for index in range(20)}
    browser.cookies = {**dict(list(stuffing.items())[:19]), **mine}
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is not None
    browser.cookies = {**stuffing, **mine}
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is None
    assert len(logins.start(browser.headers, return_to="/", now=NOW, secure=True)[1]) == 1 + 20


@pytest.mark.parametrize(
    ("return_to", "stored"),
    [
        pytest.param("/" + "x" * 1_023, "/" + "x" * 1_023, id="1024"),
        pytest.param("/" + "x" * 1_024, "", id="1025"),
        pytest.param("/\xe9", "", id="not-ascii"),
        pytest.param("\ud800", "", id="lone-surrogate"),
        pytest.param("", "", id="empty"),
        pytest.param('/;," \\=', '/;," \\=', id="characters-no-cookie-may-hold"),
    ],
)
def test_a_target_that_does_not_fit_is_not_stored(
    logins: LoginTransactions, browser: PlainJar, begin: Begin, return_to: str, stored: str
) -> None:
    """A login never fails for its target."""
    state = begin(return_to)
    found = logins.find(browser.headers, state=state, now=NOW, secure=True)
    assert found is not None
    assert found.return_to == stored


def test_lg06_neither_hash_nor_target_is_in_repr() -> None:
    """A log line may show when a login began, and no more."""
    assert repr(Transaction("hash", "/private", NOW)) == f"Transaction(started_at={NOW})"


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(b"L3J5", id="ours"),
        pytest.param(b"L3J", id="second-spelling"),
        pytest.param(b"4oCm", id="not-ascii"),
        pytest.param(b"L", id="no-whole-byte"),
    ],
)
def test_cb04_only_our_own_spelling_of_a_target_is_read(target: bytes) -> None:
    """A cookie has one spelling: what decodes to the same text in another one was not written by us."""
    value = b"h" * 43 + b".1700000000." + target
    ours = Transaction("h" * 43, "/ry", NOW)
    assert Transaction.parse(value) == (ours if target == b"L3J5" else None)


def test_cb04_a_target_is_spelt_whole() -> None:
    """Nothing but the padding is taken off its base64url, whatever character it ends with."""
    assert Transaction("h" * 43, "/aW", NOW).value == "h" * 43 + f".{NOW}.L2FX"
