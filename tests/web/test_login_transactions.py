"""Pending logins: bound to one browser, for ten minutes, once (requirements CB-01 to CB-04)."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable

import pytest

from fastapi_descope._web.login_transactions import LoginTransactions, Transaction
from tests.helpers.cookie_jar import PlainJar

NOW = 1_700_000_000
SECRET = "s" * 43
DELETION = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax; Secure"

StartLogin = Callable[..., str]


@pytest.fixture
def logins() -> LoginTransactions:
    """The pending logins of an app."""
    return LoginTransactions()


@pytest.fixture
def browser() -> PlainJar:
    """A browser without cookies."""
    return PlainJar()


@pytest.fixture
def start_login(logins: LoginTransactions, browser: PlainJar) -> StartLogin:
    """Start a login in the browser and return its state."""

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
            r"__Host-descope_login_[0-9a-f]{16}=[\w-]{43}\.1700000000900\.[\w-]{43}\.\.L3JlcG9ydHM\.\."
            r"; Max-Age=600; Path=/; HttpOnly; SameSite=Lax; Secure",
            id="https",
        ),
        pytest.param(
            False,
            r"descope_login_[0-9a-f]{16}=[\w-]{43}\.1700000000900\.[\w-]{43}\.\.L3JlcG9ydHM\.\."
            r"; Max-Age=600; Path=/; HttpOnly; SameSite=Lax",
            id="http-on-loopback",
        ),
    ],
)
def test_ck04_the_login_cookie_has_all_attributes(
    logins: LoginTransactions, shape: str, *, secure: bool
) -> None:
    """Always Lax and host-only, with ``__Host-`` if the cookie is Secure."""
    _, lines = logins.start([], return_to="/reports", now=NOW + 0.9, secure=secure)
    assert [bool(re.fullmatch(shape, line.decode())) for line in lines] == [True]


def test_cb03_the_state_has_256_bits_and_is_not_in_the_cookie(logins: LoginTransactions) -> None:
    """States and cookie names are unique, and the cookie does not contain the state (CB-03)."""
    started = [logins.start([], return_to="/", now=NOW, secure=True) for _ in range(100)]
    assert {len(state) for state, _ in started} == {43}
    assert len({state for state, _ in started}) == 100
    assert len({line.partition(b"=")[0] for _, (line,) in started}) == 100
    assert not any(state.encode() in line for state, (line,) in started)


def test_cb02_the_browser_that_started_a_login_finds_it(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """State and cookie match: the login is found, with its target and start time."""
    state = start_login("/reports?q=1#top")
    found = logins.find(browser.headers, state=state, now=NOW + 1, secure=True)
    assert found is not None
    assert (found.return_to, found.started_at) == ("/reports?q=1#top", NOW * 1000)


def test_cb02_another_browser_does_not_find_the_login(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """An attacker's state is useless in a victim's browser, with or without a login of its own."""
    attackers = start_login()
    assert logins.find(browser.headers, state=attackers, now=NOW, secure=True) is not None
    assert logins.find(PlainJar().headers, state=attackers, now=NOW, secure=True) is None
    victim = PlainJar()
    _, lines = logins.start([], return_to="/", now=NOW, secure=True)
    victim.receive(lines)
    assert logins.find(victim.headers, state=attackers, now=NOW, secure=True) is None
    assert logins.delete(victim.headers, state=attackers, secure=True) == []


@pytest.mark.parametrize("position", range(43))
def test_cb03_the_whole_hash_must_match(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin, position: int
) -> None:
    """A cookie whose hash differs in one character belongs to another login."""
    state = start_login()
    ((name, value),) = browser.cookies.items()
    other = "A" if value[position] != "A" else "B"
    header = f"{name}={value[:position]}{other}{value[position + 1 :]}".encode()

    assert logins.find([(b"cookie", header)], state=state, now=NOW, secure=True) is None


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
def test_cb03_an_unknown_state_finds_no_login(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin, state: str
) -> None:
    """The result is no login, and never an exception."""
    start_login()
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
def test_cb03_a_login_is_valid_for_ten_minutes(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin, now: float, *, found: bool
) -> None:
    """Neither an old cookie nor one from the future is accepted."""
    state = start_login()
    transaction = logins.find(browser.headers, state=state, now=now, secure=True)
    assert (transaction is not None) is found


def test_cb04_a_login_completes_once(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """A callback deletes the cookie of its login, so that the same URL is rejected afterwards."""
    state = start_login()
    (name,) = browser.cookies
    lines = logins.delete(browser.headers, state=state, secure=True)
    assert [line.decode() for line in lines] == [f"{name}=; {DELETION}"]
    browser.receive(lines)
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is None


def test_cb04_an_expired_login_is_deleted_too(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """A failed callback deletes the cookie like a successful one."""
    state = start_login(now=NOW - 3_600)
    browser.receive(logins.delete(browser.headers, state=state, secure=True))
    assert browser.cookies == {}


def test_cb04_two_tabs_have_separate_logins(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """Each callback finds its own login, and leaves the other one."""
    first, second = start_login("/one"), start_login("/two", NOW + 1)
    browser.receive(logins.delete(browser.headers, state=first, secure=True))
    found = logins.find(browser.headers, state=second, now=NOW + 2, secure=True)
    assert found is not None
    assert found.return_to == "/two"


def test_cb04_the_sixth_login_deletes_the_oldest(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """Five are kept, whatever the order in which the browser sends them."""
    states = [start_login(f"/{second}", NOW + second) for second in (3, 0, 4, 1, 2)]
    assert len(browser.cookies) == 5
    start_login(now=NOW + 5)
    assert len(browser.cookies) == 5
    live = [logins.find(browser.headers, state=state, now=NOW + 5, secure=True) for state in states]
    assert [transaction and transaction.return_to for transaction in live] == ["/3", None, "/4", "/1", "/2"]


@pytest.mark.parametrize(
    ("length", "kept"),
    [
        pytest.param(1_024, 2, id="longest"),
        pytest.param(662, 3, id="four-are-4-bytes-too-many"),
        pytest.param(661, 4, id="four-are-4096-bytes"),
        pytest.param(508, 4, id="five-are-4-bytes-too-many"),
        pytest.param(507, 5, id="five-are-4090-bytes"),
    ],
)
def test_cb04_all_login_cookies_together_stay_below_4_kib(
    browser: PlainJar, start_login: StartLogin, length: int, kept: int
) -> None:
    """Long targets displace the oldest logins, so that the request header stays small."""
    for second in range(7):
        start_login("/" + "x" * (length - 1), NOW + second)
    assert len(browser.cookies) == kept
    assert browser.size <= 4_096


def test_cb04_one_byte_over_4_kib_deletes_the_oldest(browser: PlainJar, start_login: StartLogin) -> None:
    """Of four logins with 4,097 bytes together, three are kept."""
    for second, length in enumerate((662, 661, 661, 661)):
        start_login("/" + "x" * (length - 1), NOW + second)
    assert len(browser.cookies) == 3


def test_only_the_newest_logins_are_kept(browser: PlainJar, start_login: StartLogin) -> None:
    """The newest are kept: a small old login does not outlive a large newer one."""
    start_login("/small", NOW)
    start_login("/" + "x" * 1_000, NOW + 1)
    start_login("/" + "y" * 1_000, NOW + 2)
    start_login("/" + "z" * 1_000, NOW + 3)
    assert len(browser.cookies) == 2


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("x", id="one-part"),
        pytest.param(f"{'x' * 43}.1700000000", id="two-parts"),
        pytest.param(f"{'x' * 43}.1700000000000.{SECRET}..Lw.Lw.Lw.Lw", id="eight-parts"),
        pytest.param(f"{'x' * 42}.1700000000000.{SECRET}..Lw..", id="short-hash"),
        pytest.param(f"{'x' * 43}.-1700000000000.{SECRET}..Lw..", id="negative-time"),
        pytest.param(f"{'x' * 43}.1.7e9.{SECRET}..Lw..", id="float-time"),
        pytest.param(f"{'x' * 43}.1_700_000_000_000.{SECRET}..Lw..", id="time-with-underscores"),
        pytest.param(f"{'x' * 43}.{'9' * 5_000}.{SECRET}..Lw..", id="huge-time"),
        pytest.param(f"{'x' * 43}.\xb2.{SECRET}..Lw..", id="superscript-time"),
        pytest.param(f"{'x' * 43}.1700000000000.{SECRET}..Lw==..", id="padded"),
        pytest.param(f"{'x' * 43}.1700000000000.{SECRET}..L..", id="impossible-base64"),
        pytest.param(f"{'x' * 43}.1700000000000.{SECRET}..Lx..", id="second-spelling"),
        pytest.param(f"{'x' * 43}.1700000000000.{SECRET}..L/..", id="other-alphabet"),
        pytest.param(f"{'x' * 43}.1700000000000.{SECRET}..w6k..", id="not-ascii-inside"),
        pytest.param(f'"{"x" * 43}.1700000000000.{SECRET}..Lw.."', id="quoted"),
        pytest.param("x" * 50_000, id="50-KB"),
        pytest.param(f"{'x' * 43}.1700000000000.{SECRET}..{'L' * 50_000}..", id="50-KB-target"),
        pytest.param(f"{'x' * 43}.1700000000000.{SECRET}..Lw..", id="expired"),
    ],
)
def test_cb03_malformed_and_expired_cookies_are_deleted_by_the_next_login(
    logins: LoginTransactions, browser: PlainJar, value: str
) -> None:
    """Malformed values raise nothing, match nothing, and are deleted."""
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
def test_a_cookie_with_another_name_is_ignored(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin, name: str
) -> None:
    """A valid value under another name is no login, and the cookie is not deleted."""
    state = start_login()
    (value,) = browser.cookies.values()
    browser.cookies = {name: value}
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is None
    assert logins.delete(browser.headers, state=state, secure=True) == []
    assert len(logins.start(browser.headers, return_to="/", now=NOW, secure=True)[1]) == 1


def test_login_cookies_of_http_and_https_are_separate(logins: LoginTransactions, browser: PlainJar) -> None:
    """A sibling domain can write the plain name, so https uses ``__Host-`` only."""
    state, lines = logins.start([], return_to="/", now=NOW, secure=False)
    browser.receive(lines)
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is None
    assert logins.find(browser.headers, state=state, now=NOW, secure=False) is not None
    assert logins.delete(browser.headers, state=state, secure=True) == []


def test_two_different_cookies_for_one_state_are_rejected(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """Different targets for one state are ambiguous. The same target twice is not."""
    state = start_login("/reports")
    ((name, value),) = browser.cookies.items()
    other = f"__Host-descope_login_{'0' * 16}"
    browser.cookies[other] = value
    found = logins.find(browser.headers, state=state, now=NOW, secure=True)
    assert found is not None
    assert found.return_to == "/reports"
    evil = urlsafe_b64encode(b"/elsewhere").rstrip(b"=").decode()
    browser.cookies[other] = value.replace("L3JlcG9ydHM", evil)
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is None
    lines = logins.delete(browser.headers, state=state, secure=True)
    assert [line.partition(b"=")[0].decode() for line in lines] == sorted([name, other])


def test_at_most_twenty_login_cookies_are_parsed(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """A request with many cookies costs a bounded amount of work."""
    state = start_login()
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
def test_a_target_that_is_too_long_is_not_stored(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin, return_to: str, stored: str
) -> None:
    """A login never fails because of its target."""
    state = start_login(return_to)
    found = logins.find(browser.headers, state=state, now=NOW, secure=True)
    assert found is not None
    assert found.return_to == stored


def test_lg06_neither_hash_nor_target_is_in_repr() -> None:
    """``repr`` shows only when the login started."""
    assert repr(Transaction("hash", "/private", NOW)) == (
        f"Transaction(started_at={NOW}, method='sso', step_up=False, mfa=False, used=False)"
    )


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(b"L3J5", id="ours"),
        pytest.param(b"L3J", id="second-spelling"),
        pytest.param(b"4oCm", id="not-ascii"),
        pytest.param(b"L", id="no-whole-byte"),
    ],
)
def test_cb04_a_non_canonical_target_is_rejected(target: bytes) -> None:
    """A target in a non-canonical encoding was not written by the plugin."""
    value = f"{'h' * 43}.1700000000000.{SECRET}..".encode() + target + b".."
    ours = Transaction("h" * 43, "/ry", NOW * 1000, secret=SECRET)
    assert Transaction.parse(value) == (ours if target == b"L3J5" else None)


def test_cb04_only_padding_is_removed_from_a_target() -> None:
    """Only the padding is removed from the base64url, whatever the last character is."""
    transaction = Transaction("h" * 43, "/aW", NOW, secret=SECRET)
    assert transaction.value == f"{'h' * 43}.{NOW}.{SECRET}..L2FX.."


def test_np01_the_reference_of_an_notp_sign_in_is_in_its_cookie(
    logins: LoginTransactions, browser: PlainJar
) -> None:
    """The cookie is that of any login otherwise, and ``repr`` does not show the reference."""
    state, lines = logins.start(
        [], return_to="/reports", now=NOW, secure=True, method="notp", pending_ref="canary-ref"
    )
    browser.receive(lines)
    shape = (
        r"__Host-descope_login_[0-9a-f]{16}=[\w-]{43}\.1700000000000\.[\w-]{43}\.n\.L3JlcG9ydHM\.\.Y2FuYXJ5LXJlZg"
        r"; Max-Age=600; Path=/; HttpOnly; SameSite=Lax; Secure"
    )
    assert [bool(re.fullmatch(shape, line.decode())) for line in lines] == [True]
    found = logins.find(browser.headers, state=state, now=NOW, secure=True, methods=("notp",))
    assert found is not None
    assert (found.return_to, found.pending_ref) == ("/reports", "canary-ref")
    assert "canary" not in repr(found)


def test_np02_a_login_is_found_as_its_own_kind_only(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """The callback finds no nOTP sign-in, and a poll finds no other login."""
    state, lines = logins.start(
        browser.headers, return_to="/", now=NOW, secure=True, method="notp", pending_ref="ref"
    )
    browser.receive(lines)
    other = start_login()
    assert logins.find(browser.headers, state=state, now=NOW, secure=True) is None
    assert logins.find(browser.headers, state=other, now=NOW, secure=True, methods=("notp",)) is None


def test_np02_two_references_for_one_state_are_rejected(logins: LoginTransactions, browser: PlainJar) -> None:
    """One was planted, and would sign in the user of another sign-in."""
    state, lines = logins.start([], return_to="/", now=NOW, secure=True, method="notp", pending_ref="ours")
    browser.receive(lines)
    (value,) = browser.cookies.values()
    found = Transaction.parse(value.encode())
    assert found is not None
    planted = Transaction(found.state_hash, found.return_to, found.started_at, "theirs", "notp")
    browser.cookies[f"__Host-descope_login_{'0' * 16}"] = planted.value
    assert logins.find(browser.headers, state=state, now=NOW, secure=True, methods=("notp",)) is None


def test_np07_the_longest_reference_and_target_fit_into_one_cookie(
    logins: LoginTransactions, browser: PlainJar
) -> None:
    """Both may have 1,024 characters."""
    target, reference = "/" + "x" * 1_023, "~" * 1_024
    state, lines = logins.start(
        [], return_to=target, now=NOW, secure=True, method="notp", pending_ref=reference
    )
    browser.receive(lines)
    assert browser.size <= LoginTransactions.BUDGET
    found = logins.find(browser.headers, state=state, now=NOW, secure=True, methods=("notp",))
    assert found is not None
    assert (found.return_to, found.pending_ref) == (target, reference)


@pytest.mark.parametrize(
    ("value", "reference"),
    [
        pytest.param(b"Lw..cmVm", "ref", id="ours"),
        pytest.param(b"..cmVm", "ref", id="without a target"),
        pytest.param(b"Lw..", "", id="empty"),
        pytest.param(b"Lw..cmVm=", None, id="padded"),
        pytest.param(b"Lw..cmV", None, id="second spelling"),
        pytest.param(b"Lw..w6k", None, id="not ASCII"),
        pytest.param(b"w6k..cmVm", None, id="target not ASCII"),
        pytest.param(b"Lw.w6k.cmVm", None, id="tenant not ASCII"),
        pytest.param(b"Lw.." + b"A" * 1_367, None, id="too long"),
    ],
)
def test_np02_a_malformed_reference_is_rejected(value: bytes, reference: str | None) -> None:
    """It was not written by the plugin."""
    found = Transaction.parse(f"{'h' * 43}.1700000000000.{SECRET}..".encode() + value)
    assert (found.pending_ref if found else None) == reference


def test_cb04_of_seven_logins_of_one_second_the_oldest_give_way(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """Also of those of one millisecond: browsers send older cookies first."""
    states = [start_login(f"/{tab}", NOW + (tab // 2) / 1000) for tab in range(7)]
    live = [logins.find(browser.headers, state=state, now=NOW + 1, secure=True) for state in states]
    assert [transaction and transaction.return_to for transaction in live] == [
        *(None, None),
        *("/2", "/3", "/4", "/5", "/6"),
    ]


def test_cb04_of_logins_of_one_millisecond_the_first_give_way(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """Browsers send older cookies first, whatever the names are."""
    states = [start_login(f"/{tab}", NOW) for tab in range(12)]
    live = [logins.find(browser.headers, state=state, now=NOW, secure=True) for state in states]
    assert [transaction.return_to for transaction in live if transaction] == ["/7", "/8", "/9", "/10", "/11"]


def test_cb04_used_login_is_kept_for_a_minute(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """Its cookie has the same name, secret and attributes, and a lifetime of its own."""
    state = start_login()
    ((name, before),) = browser.cookies.items()
    (line,) = logins.mark_used(browser.headers, state=state, now=NOW + 590, secure=True)
    browser.receive([line])

    expected = before.replace(f".{NOW}000.", f".{NOW + 590}000.").replace("..L3", ".u.L3")
    assert line.decode() == (f"{name}={expected}; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure")
    found = logins.find(browser.headers, state=state, now=NOW + 650, secure=True)
    assert found is not None
    assert found.used
    assert logins.find(browser.headers, state=state, now=NOW + 650.5, secure=True) is None


def test_cb04_used_logins_give_way_first(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """A completed login takes the place of no pending one."""
    states = [start_login(f"/{tab}", NOW + tab) for tab in range(5)]
    browser.receive(logins.mark_used(browser.headers, state=states[4], now=NOW + 9, secure=True))
    states.append(start_login("/5", NOW + 10))
    live = [logins.find(browser.headers, state=state, now=NOW + 10, secure=True) for state in states]
    assert [transaction and transaction.return_to for transaction in live] == [
        *("/0", "/1", "/2", "/3", None, "/5"),
    ]


def test_cb04_used_logins_of_a_browser_are_deleted(
    logins: LoginTransactions, browser: PlainJar, start_login: StartLogin
) -> None:
    """With their secrets, by which their tokens are found. Pending logins stay."""
    used, pending = start_login("/used"), start_login("/pending")
    assert logins.used(browser.headers, secure=True) == ([], [])
    browser.receive(logins.mark_used(browser.headers, state=used, now=NOW, secure=True))
    transaction = logins.find(browser.headers, state=used, now=NOW, secure=True)
    assert transaction is not None

    secrets, deletions = logins.used(browser.headers, secure=True)
    browser.receive(deletions)

    assert secrets == [transaction.secret]
    assert logins.find(browser.headers, state=used, now=NOW, secure=True) is None
    assert logins.find(browser.headers, state=pending, now=NOW, secure=True) is not None


def test_login_keeps_what_was_asked_for(logins: LoginTransactions, browser: PlainJar) -> None:
    """Another try asks for the same tenant, and the callback knows whether a step-up was asked for."""
    state, lines = logins.start(
        [], return_to="/", now=NOW, secure=True, tenant="ada@acme.example", step_up=True, mfa=True
    )
    browser.receive(lines)
    found = logins.find(browser.headers, state=state, now=NOW, secure=True)
    assert found is not None
    assert (found.tenant, found.step_up, found.mfa, found.used) == ("ada@acme.example", True, True, False)
    assert "acme" not in repr(found)
