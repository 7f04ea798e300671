"""Checks that need a session of the project: its tokens, its cookie settings, and the size of its cookies."""

import time
from collections.abc import Callable, Iterator

from .._auth.core_builder import CoreBuilder
from .._auth.credentials import Credentials
from .._auth.project_cookies import CookieComparison, CookieDifference
from .._auth.token_service import TokenService
from .._refresh.store import RefreshResult
from .._tokens.claims import looks_like_jwt
from .._upstream.transport import Transport
from .._web.cookies import SessionCookies
from ..errors import InvalidUpstreamResponse, TokenReason, UpstreamError, UpstreamRejected
from ..events import EventBus
from ..session import TokenPair
from ..settings import DescopeSettings
from .checks import CheckResult, fail, ok, warn
from .token_remedies import REMEDIES

__all__ = ["check_project", "project_not_checked"]

_OTHER_BYTES = 1_024
"""Bytes of a callback besides the session: its other headers, and the cookie of the login."""

_RESPONSE_BUFFERS = (
    (4_096, ""),
    (8_192, "proxy_buffer_size 8k"),
    (16_384, "proxy_buffer_size 16k and proxy_busy_buffers_size 16k"),
    (32_768, "proxy_buffer_size 32k and proxy_buffers 4 32k"),
)
"""Directives of nginx by the size of the response's headers. A larger one is no session (CK-08)."""

_REQUEST_BUFFER = 8_192
"""The longest header of a request that nginx accepts by default."""


def project_not_checked() -> CheckResult:
    """Return how to check the project's cookie settings, which Descope sends with tokens only."""
    message = "its cookie settings were not compared; to do so, add --refresh-token-file"
    return ok("project.not_compared", message)


async def check_project(
    settings: DescopeSettings,
    refresh_token: str,
    *,
    transport: Transport | None = None,
    clock: Callable[[], float] = time.time,
) -> list[CheckResult]:
    """Refresh a session once, verify its new tokens, measure them, and compare the project's cookie settings.

    One call to Descope, which uses up the token if the project rotates refresh tokens, and one for the keys.
    No result contains a token.
    """
    if not looks_like_jwt(refresh_token):
        return [fail("project.no_token", "the file does not contain a refresh token")]
    parts = CoreBuilder(settings, EventBus(), clock=clock, transport=transport)
    try:
        response = await parts.api.refresh(refresh_token)
        result = RefreshResult(response.session_jwt, response.refresh_jwt or refresh_token)
        pair, rejected = await _verify(parts.tokens, result)
    except UpstreamError as error:
        return [_failure(error)]
    finally:
        await parts.verifier.aclose()
        await parts.api.aclose()
    differences = CookieComparison(settings).differences(response.fields)
    results = [_verdict(rejected), *_compared(differences, rejected)]
    return results if pair is None else [*results, _check_size(settings, pair, clock())]


async def _verify(tokens: TokenService, result: RefreshResult) -> tuple[TokenPair | None, str]:
    """Return the tokens, or None and why they are refused."""
    try:
        return await tokens.verify(result), ""
    except InvalidUpstreamResponse as error:
        return None, error.reason


def _failure(error: UpstreamError) -> CheckResult:
    if isinstance(error, UpstreamRejected):
        code = f", code {error.upstream_code}" if error.upstream_code else ""
        message = (
            f"Descope refuses the refresh token (status {error.upstream_status}{code}): it has expired, was"
            " used already, or is of another project"
        )
        return fail("project.token_refused", message)
    return fail("project.not_checked", f"the refresh token cannot be checked ({error.code})")


def _verdict(rejected: str) -> CheckResult:
    if rejected:
        remedy = f"; {REMEDIES[TokenReason(rejected)]}" if rejected in set(TokenReason) else ""
        message = f"the new tokens of the session are refused here ({rejected}){remedy}"
        return fail("project.tokens_rejected", message)
    return ok("project.tokens_valid", "the new tokens of the session are valid here")


def _compared(differences: tuple[CookieDifference, ...], rejected: str) -> Iterator[CheckResult]:
    for each in differences:
        is_cause = each.is_name and rejected == TokenReason.KIND
        if is_cause:
            yield fail("project.cookies_renamed", each.message)
        else:
            yield warn("project.cookies_differ", each.message)
    if not differences:
        yield ok("project.cookies_agree", "its cookie names and domain agree with the settings")


def _check_size(settings: DescopeSettings, pair: TokenPair, now: float) -> CheckResult:
    """Compare the headers that carry the session with the default buffers of nginx (CK-14)."""
    lines = SessionCookies(settings).write(pair, now=now, secure=True, credentials=Credentials())
    response = sum(len(line) + len("set-cookie: \r\n") for line in lines)
    request = sum(len(line.partition(b";")[0]) + len("; ") for line in lines)
    directives = next(text for size, text in _RESPONSE_BUFFERS if response + _OTHER_BYTES <= size)
    if not directives:
        message = (
            f"the cookies of this session have {response:,} bytes, which fit the default buffers of nginx"
        )
        return ok("proxy.headers_fit", message)
    if request + _OTHER_BYTES > _REQUEST_BUFFER:
        directives += " and large_client_header_buffers 4 32k"
    message = (
        f"the cookies of this session have {response:,} bytes, more than nginx accepts by default: set"
        f" {directives}; other proxies have similar limits"
    )
    return warn("proxy.large_headers", message)
