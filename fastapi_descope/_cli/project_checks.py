"""Checks that need a session of the project: whether its tokens are valid here, and its cookie settings."""

import time
from collections.abc import Callable, Iterator

from .._auth.core import Core, build_core
from .._auth.project_cookies import CookieComparison, CookieDifference
from .._refresh.store import MemoryRefreshStore, RefreshResult
from .._tokens.claims import looks_like_jwt
from .._upstream.transport import Transport
from ..errors import InvalidUpstreamResponse, TokenReason, UpstreamError, UpstreamRejected
from ..events import EventBus
from ..settings import DescopeSettings
from .checks import CheckResult, Severity

__all__ = ["check_project", "project_not_checked"]


def project_not_checked() -> CheckResult:
    """Return how to check the project's cookie settings, which Descope sends with tokens only."""
    message = "its cookie settings were not compared; to do so, add --refresh-token-file"
    return CheckResult(Severity.OK, "project", message)


async def check_project(
    settings: DescopeSettings,
    refresh_token: str,
    *,
    transport: Transport | None = None,
    clock: Callable[[], float] = time.time,
) -> list[CheckResult]:
    """Refresh a session once, verify its new tokens, and compare the project's cookie settings.

    One call to Descope, which uses up the token if the project rotates refresh tokens, and one for the keys.
    No result contains a token.
    """
    if not looks_like_jwt(refresh_token):
        return [CheckResult(Severity.FAIL, "project", "the file does not contain a refresh token")]
    store = MemoryRefreshStore(clock)
    core = build_core(settings, EventBus(), clock=clock, transport=transport, store=store)
    try:
        response = await core.api.refresh(refresh_token)
        result = RefreshResult(response.session_jwt, response.refresh_jwt or refresh_token)
        rejected = await _rejection_reason(core, result)
    except UpstreamError as error:
        return [CheckResult(Severity.FAIL, "project", _cause(error))]
    finally:
        await core.aclose()
    differences = CookieComparison(settings).differences(response.fields)
    return [_verdict(rejected), *_compared(differences, rejected)]


async def _rejection_reason(core: Core, result: RefreshResult) -> str:
    """Return why the tokens are refused, or an empty string if they are valid."""
    try:
        await core.tokens.verify(result)
    except InvalidUpstreamResponse as error:
        return error.reason
    return ""


def _cause(error: UpstreamError) -> str:
    if isinstance(error, UpstreamRejected):
        code = f", code {error.upstream_code}" if error.upstream_code else ""
        return (
            f"Descope refuses the refresh token (status {error.upstream_status}{code}): it has expired, was"
            " used already, or is of another project"
        )
    return f"the refresh token cannot be checked ({error.code})"


def _verdict(rejected: str) -> CheckResult:
    if rejected:
        message = f"the new tokens of the session are refused here ({rejected})"
        return CheckResult(Severity.FAIL, "project", message)
    return CheckResult(Severity.OK, "project", "the new tokens of the session are valid here")


def _compared(differences: tuple[CookieDifference, ...], rejected: str) -> Iterator[CheckResult]:
    for each in differences:
        is_cause = each.is_name and rejected == TokenReason.KIND
        yield CheckResult(Severity.FAIL if is_cause else Severity.WARN, "project", each.message)
    if not differences:
        yield CheckResult(Severity.OK, "project", "its cookie names and domain agree with the settings")
