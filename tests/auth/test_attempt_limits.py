"""The limits on attempts with access keys: ten a minute for each client, a hundred for all (AK-05)."""

import pytest

from fastapi_descope._auth.attempt_limits import AttemptLimits
from fastapi_descope.errors import TooManyAttempts, UpstreamUnavailable
from tests.helpers.fake_clock import FakeClock


def _fail(limits: AttemptLimits, address: str | None, times: int) -> None:
    """Make attempts that count."""
    for _ in range(times):
        limits.start(limits.attempt(address))


def test_ak05_eleventh_attempt_within_a_minute_is_refused() -> None:
    """The error says when the first of the ten leaves the window. Then one attempt is free."""
    clock = FakeClock()
    limits = AttemptLimits(clock)
    _fail(limits, "192.0.2.1", 1)
    clock.now += 20
    _fail(limits, "192.0.2.1", 9)
    with pytest.raises(TooManyAttempts) as caught:
        limits.start(limits.attempt("192.0.2.1"))
    assert caught.value.retry_after == 40

    clock.now += 40
    _fail(limits, "192.0.2.1", 1)
    with pytest.raises(TooManyAttempts):
        limits.check(limits.attempt("192.0.2.1"))


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:DB8:1:2::1", "2001:db8:1:2::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("testclient", "testclient", True),
        ("testclient", "192.0.2.1", False),
    ],
)
def test_ak05_clients_are_told_apart_by_address_or_network(first: str, second: str, *, is_same: bool) -> None:
    """An IPv6 client can choose among the addresses of its /64, so the network counts."""
    limits = AttemptLimits(FakeClock())
    _fail(limits, first, 10)
    attempt = limits.attempt(second)
    if is_same:
        with pytest.raises(TooManyAttempts):
            limits.check(attempt)
    else:
        limits.check(attempt)


def test_ak05_hundred_attempts_of_all_clients_are_an_outage_for_the_others() -> None:
    """A client that has made no attempt gets 503, because it is not at fault."""
    clock = FakeClock()
    limits = AttemptLimits(clock)
    _fail(limits, "192.0.2.0", 1)
    clock.now += 5
    _fail(limits, "192.0.2.0", 9)
    for number in range(1, 10):
        _fail(limits, f"192.0.2.{number}", 10)
    clock.now += 10
    with pytest.raises(UpstreamUnavailable) as caught:
        limits.start(limits.attempt("198.51.100.1"))
    assert caught.value.retry_after == 45
    with pytest.raises(TooManyAttempts):
        limits.start(limits.attempt("192.0.2.1"))

    clock.now += 50
    _fail(limits, "198.51.100.1", 10)


def test_ak05_clients_without_an_address_share_only_the_limit_on_all() -> None:
    """On a Unix socket all clients look alike, and one of them must not exclude the others."""
    limits = AttemptLimits(FakeClock())
    _fail(limits, None, 100)
    with pytest.raises(UpstreamUnavailable):
        limits.check(limits.attempt(None))


def test_ak05_withdrawn_attempt_does_not_count() -> None:
    """A success and an outage are withdrawn. One that has not begun cannot be."""
    limits = AttemptLimits(FakeClock())
    for _ in range(20):
        attempt = limits.attempt("192.0.2.1")
        limits.start(attempt)
        limits.withdraw(attempt)
    limits.withdraw(limits.attempt("192.0.2.1"))
    _fail(limits, "192.0.2.1", 10)
