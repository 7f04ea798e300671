"""The table of requirement 2.9: the outcome and the event of each response of Descope."""

import pytest

from fastapi_descope._refresh.outcome import Ended, Outcome, Renewed, Unavailable, classify
from fastapi_descope.errors import (
    InvalidUpstreamResponse,
    RateLimited,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fastapi_descope.events import RefreshFailed, RefreshRefused, SessionRefreshed
from fastapi_descope.session import AuthSession, RefreshToken, Tenant, TokenPair, User


def test_rf01_verified_pair_renews_the_session() -> None:
    """Both tokens were verified."""
    pair = TokenPair(
        "session", AuthSession(User("U2ada"), Tenant("acme"), {}, 0, 600), RefreshToken("R", "U2ada", 0, 9)
    )
    assert classify(pair) == (Renewed(pair), SessionRefreshed("U2ada", "acme"))


@pytest.mark.parametrize("status", [400, 401, 403])
def test_rf01_descope_rejection_ends_the_session(status: int) -> None:
    """A well-formed error means that the session has ended. The event has its code."""
    assert classify(UpstreamRejected(status, "E064001")) == (Ended(), RefreshRefused("E064001"))


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (UpstreamRejected(402), Unavailable(5), "upstream_rejected"),
        (UpstreamRejected(404, "E011001"), Unavailable(5), "upstream_rejected"),
        (UpstreamRejected(409, "E011001"), Unavailable(5), "upstream_rejected"),
        (UpstreamRejected(422, "E011003"), Unavailable(5), "upstream_rejected"),
        (UpstreamUnavailable(), Unavailable(5), "upstream_unavailable"),
        (UpstreamUnavailable(23), Unavailable(23), "upstream_unavailable"),
        (RateLimited(1), Unavailable(1), "rate_limited"),
        (RateLimited(10**9), Unavailable(60), "rate_limited"),
        (InvalidUpstreamResponse("unsigned_refusal"), Unavailable(5), "unsigned_refusal"),
        (InvalidUpstreamResponse("subject"), Unavailable(5), "subject"),
        (UpstreamError(), Unavailable(5), "upstream_error"),
    ],
)
def test_rf01_any_other_error_is_unavailable(error: UpstreamError, outcome: Outcome, reason: str) -> None:
    """No outage, rate limit or invalid response ends a session. ``retry_after`` is kept."""
    assert classify(error) == (outcome, RefreshFailed(reason))


def test_repr_of_an_outcome_hides_tokens() -> None:
    """An outcome may be logged (LG-02)."""
    pair = TokenPair(
        "canary-s", AuthSession(User("U2ada"), None, {}, 0, 1), RefreshToken("canary-r", "U2ada", 0, 1)
    )
    assert "canary" not in repr(classify(pair))
