"""The table of requirement 2.9: what an answer of Descope means for a session, and what is told of it."""

import pytest

from fastapi_descope._refresh.outcome import Ended, NoVerdict, Outcome, Renewed, judge
from fastapi_descope.errors import (
    RateLimited,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRefused,
    UpstreamUnavailable,
)
from fastapi_descope.events import RefreshFailed, RefreshRefused, SessionRefreshed
from fastapi_descope.session import RefreshToken, Session, Tenant, TokenPair, User


def test_rf01_a_verified_pair_renews_the_session() -> None:
    """Both halves passed: the session goes on with them."""
    pair = TokenPair(
        "session", Session(User("U2ada"), Tenant("acme"), {}, 0, 600), RefreshToken("R", "U2ada", 0, 9)
    )
    assert judge(pair) == (Renewed(pair), SessionRefreshed("U2ada", "acme"))


@pytest.mark.parametrize("status", [400, 401, 403])
def test_rf01_a_well_formed_no_ends_the_session(status: int) -> None:
    """Descope understood the token and said that it is over; its code is told."""
    assert judge(UpstreamRefused(status, "E064001")) == (Ended(), RefreshRefused("E064001"))


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (UpstreamRefused(402), NoVerdict(5), "upstream_refused"),
        (UpstreamRefused(404, "E011001"), NoVerdict(5), "upstream_refused"),
        (UpstreamRefused(409, "E011001"), NoVerdict(5), "upstream_refused"),
        (UpstreamRefused(422, "E011003"), NoVerdict(5), "upstream_refused"),
        (UpstreamUnavailable(), NoVerdict(5), "upstream_unavailable"),
        (UpstreamUnavailable(23), NoVerdict(23), "upstream_unavailable"),
        (RateLimited(1), NoVerdict(1), "rate_limited"),
        (RateLimited(10**9), NoVerdict(60), "rate_limited"),
        (UpstreamNonsense("unsigned_refusal"), NoVerdict(5), "unsigned_refusal"),
        (UpstreamNonsense("subject"), NoVerdict(5), "subject"),
        (UpstreamError(), NoVerdict(5), "upstream_error"),
    ],
)
def test_rf01_anything_else_decides_nothing(error: UpstreamError, outcome: Outcome, reason: str) -> None:
    """No outage, rate limit or nonsense logs anybody out; how long to wait is handed on."""
    assert judge(error) == (outcome, RefreshFailed(reason))


def test_no_outcome_shows_a_token() -> None:
    """An outcome may be logged (LG-02)."""
    pair = TokenPair(
        "canary-s", Session(User("U2ada"), None, {}, 0, 1), RefreshToken("canary-r", "U2ada", 0, 1)
    )
    assert "canary" not in repr(judge(pair))
