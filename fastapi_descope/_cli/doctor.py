"""The ``doctor`` command: checks of the settings, the connections to Descope and Redis, and an app."""

import re
import secrets
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime

from pydantic import SecretStr
from starlette.applications import Starlette

from .._auth.core import build_api, build_redis_store
from .._config.origin import Origin
from .._tokens.jwks import parse_key_set
from .._upstream.responses import ApiResponse
from .._upstream.transport import Transport
from ..errors import ConfigurationError, InvalidUpstreamResponse, UpstreamError, UpstreamRejected
from ..events import Event, EventBus, StoreDegraded
from ..settings import DescopeSettings
from .app_checks import AppChecks, load_app
from .checks import CheckResult, Severity
from .project_checks import check_project, project_not_checked

__all__ = ["CheckResult", "Doctor", "Severity", "load_app_to_check"]

_CLOCK_TOLERANCE = 5
"""Clock differences up to this many seconds are not reported."""

_COOKIE_NAMES = (
    "every other deployment on this host needs other names; after a change of a name, the prefix or the"
    " domain every user signs in again"
)

_FORMER_COOKIES = "keep them in DESCOPE_FORMER_COOKIES for as long as a refresh token lives"

_REDIS_TIMEOUT = 2.0
_REDIS_PASSWORD = re.compile(r"redis://[^/@:]*:[^/@]+@(?P<host>\[[^\]]+\]|[^:/?]+)")


class Doctor:
    """Checks the settings of a process and, if given, its app.

    Args:
        app: The app to check. If the plugin is installed in it, its settings are checked, otherwise those
            of the environment.
        variables: The environment variables that configure servers, such as ``WEB_CONCURRENCY``.
        refresh_token: A refresh token to compare the project's cookie settings with; it may be used up.
        transport: Replaces the connections to Descope.
        monotonic: Measures the duration of the call to Descope, in seconds.
        clock: The time of this host, in epoch seconds, which is compared with Descope's.
    """

    def __init__(
        self,
        app: Starlette | None = None,
        *,
        variables: Mapping[str, str],
        refresh_token: str | None = None,
        transport: Transport | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._variables = variables
        self._refresh_token = refresh_token
        self._transport = transport
        self._monotonic = monotonic
        self._clock = clock

    async def run_checks(self) -> tuple[CheckResult, ...]:
        """Run all checks.

        Costs one call to Descope, another with a refresh token, and one to Redis if it is configured.
        """
        app_checks = AppChecks(self._app) if self._app is not None else None
        settings, results = _check_settings(app_checks)
        if settings is not None:
            results += await self._check_api(settings)
            results += [_check_public_url(settings), *_check_cookies(settings)]
            results += await self._check_project(settings)
            results += await self._check_store(settings)
        if app_checks is not None:
            results += app_checks.results()
        return tuple(results)

    async def _check_api(self, settings: DescopeSettings) -> list[CheckResult]:
        api = build_api(settings, EventBus(), transport=self._transport)
        started_at = self._monotonic()
        try:
            response = await api.fetch_jwks_response()
            keys = len(parse_key_set(response.body or b"").keys)
        except UpstreamError as error:
            return [CheckResult(Severity.FAIL, "api", f"{settings.base_url} {_cause(error)}")]
        finally:
            await api.aclose()
        duration = f"{(self._monotonic() - started_at) * 1000:.0f} ms"
        message = f"{settings.base_url} has {keys} usable key(s) for {settings.project_id}, in {duration}"
        results = [CheckResult(Severity.OK, "api", message)]
        results += self._check_clock(response, settings.leeway)
        if _is_loopback(settings.base_url):
            # EM-04: an app with a public URL is in production, whatever ENVIRONMENT says.
            is_public = settings.public_url is not None and not _is_loopback(settings.public_url)
            message = "the API is an emulator on this machine; unset DESCOPE_BASE_URL in production"
            results.append(CheckResult(Severity.FAIL if is_public else Severity.WARN, "api", message))
        return results

    def _check_clock(self, response: ApiResponse, leeway: int) -> Iterator[CheckResult]:
        """Compare this host's clock with Descope's, which sets the times in tokens."""
        try:
            descope_time = parsedate_to_datetime(response.date).timestamp()
        except ValueError:  # no date, or a malformed one
            return
        age = int(response.age[:6]) if response.age.isdecimal() else 0  # seconds in an HTTP cache
        ahead = round(self._clock() - descope_time - age)
        if abs(ahead) <= _CLOCK_TOLERANCE:
            yield CheckResult(Severity.OK, "clock", "this host's clock agrees with Descope's")
            return
        side = "ahead of" if ahead > 0 else "behind"
        message = f"this host's clock is {abs(ahead)} s {side} Descope's; synchronize it with NTP"
        yield CheckResult(Severity.FAIL if abs(ahead) > leeway else Severity.WARN, "clock", message)

    async def _check_project(self, settings: DescopeSettings) -> list[CheckResult]:
        if self._refresh_token is None:
            return [project_not_checked()]
        return await check_project(
            settings, self._refresh_token, transport=self._transport, clock=self._clock
        )

    async def _check_store(self, settings: DescopeSettings) -> list[CheckResult]:
        if settings.redis_url is not None:
            result = await _check_redis(settings.redis_url, settings)
            return [result, *_check_redis_encryption(settings.redis_url)]
        workers = self._variables.get("WEB_CONCURRENCY", "1")
        if workers in {"", "1"}:
            message = (
                "refreshes are coordinated in one process; with several processes, set DESCOPE_REDIS_URL"
            )
            return [CheckResult(Severity.OK, "refresh", message)]
        message = (
            f"WEB_CONCURRENCY={workers} without DESCOPE_REDIS_URL: processes refresh the same session"
            " independently, which ends it if the project rotates refresh tokens; set DESCOPE_REDIS_URL"
        )
        return [CheckResult(Severity.WARN, "refresh", message)]


def load_app_to_check(name: str) -> Starlette | None:
    """Import the app that ``module:attribute`` names.

    Returns:
        The app, or None if wrong settings keep it from starting. The doctor then reports the settings.

    Raises:
        ConfigurationError: The app cannot be imported for another reason.
    """
    try:
        return load_app(name)
    except ConfigurationError as error:
        try:
            DescopeSettings()
        except ConfigurationError as settings_error:
            if str(settings_error) == str(error):
                return None
        raise


def _check_settings(app_checks: AppChecks | None) -> tuple[DescopeSettings | None, list[CheckResult]]:
    """Return the settings to check, or None if they are wrong, with the results so far."""
    installed = app_checks.settings if app_checks is not None else None
    if installed is not None:
        return installed, [CheckResult(Severity.OK, "settings", "using the settings of the app")]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            settings = DescopeSettings()
    except ConfigurationError as error:
        return None, [CheckResult(Severity.FAIL, "settings", line) for line in _messages(error)]
    unknown = [CheckResult(Severity.WARN, "settings", str(warning.message)) for warning in caught]
    return settings, unknown or [CheckResult(Severity.OK, "settings", "the DESCOPE_* variables are valid")]


def _messages(error: ConfigurationError) -> list[str]:
    """Split an error into one message per setting: several are a list below a heading."""
    lines = str(error).splitlines()
    return [line.removeprefix("- ") for line in lines[1:]] or lines


def _cause(error: UpstreamError) -> str:
    match error:
        case UpstreamRejected(upstream_status=status):
            return f"has no such project (status {status}); check DESCOPE_PROJECT_ID and DESCOPE_BASE_URL"
        case InvalidUpstreamResponse(reason=reason):
            return (
                f"did not return a JWKS ({reason}); check that DESCOPE_BASE_URL is the URL of Descope's API"
            )
        case _:
            return "cannot be reached; check DESCOPE_BASE_URL, and that this host can connect to it"


def _check_public_url(settings: DescopeSettings) -> CheckResult:
    url = settings.public_url
    if url is None:
        message = "not set, so logins work on this machine only; set DESCOPE_PUBLIC_URL=https://<your host>"
        return CheckResult(Severity.FAIL, "public url", message)
    if _is_loopback(url):
        return CheckResult(Severity.WARN, "public url", f"{url} is a loopback URL, for development only")
    return CheckResult(Severity.OK, "public url", url)


def _check_cookies(settings: DescopeSettings) -> Iterator[CheckResult]:
    names = f"{settings.session_cookie} and {settings.refresh_cookie}"
    if not settings.cookie_prefix and (settings.public_url or "").startswith("https:"):
        message = (
            f"a sibling domain can plant {names}; remove DESCOPE_COOKIE_PREFIX"
            " unless a Descope front-end SDK must read them"
        )
        yield CheckResult(Severity.WARN, "cookies", message)
    else:
        yield CheckResult(Severity.OK, "cookies", f"{names}; {_COOKIE_NAMES}")
    if settings.former_cookies:
        listed = ", ".join(settings.former_cookies)
        message = f"refreshes, sign-ins and logouts delete {listed}; {_FORMER_COOKIES}"
        yield CheckResult(Severity.OK, "cookies", message)
    if settings.cookie_samesite == "none":
        message = (
            "with SameSite=None, browsers send them with requests from every site;"
            " set DESCOPE_COOKIE_SAMESITE=lax unless the app runs in a frame of another site"
        )
        yield CheckResult(Severity.WARN, "cookies", message)


def _check_redis_encryption(url: SecretStr) -> Iterator[CheckResult]:
    password = _REDIS_PASSWORD.match(url.get_secret_value())
    if password is not None and not _is_loopback(f"http://{password['host']}"):
        message = "the password is sent unencrypted; use rediss:// unless the network is private"
        yield CheckResult(Severity.WARN, "redis", message)


async def _check_redis(url: SecretStr, settings: DescopeSettings) -> CheckResult:
    """Make one call through the refresh store, which reports an unusable Redis as an event."""
    seen: list[Event] = []
    events = EventBus()
    events.subscribe(seen.append)
    try:
        store = build_redis_store(url, settings, events, timeout=_REDIS_TIMEOUT)
    except ConfigurationError as error:
        return CheckResult(Severity.FAIL, "redis", str(error))
    await store.get(secrets.token_hex())
    is_cluster = await store.is_cluster()
    await store.aclose()
    if is_cluster:
        message = "Redis Cluster is not supported; use a Redis with one primary, with or without replicas"
        return CheckResult(Severity.FAIL, "redis", message)
    degraded = next((event for event in seen if isinstance(event, StoreDegraded)), None)
    if degraded is not None:
        message = (
            f"not usable ({degraded.reason}), so processes do not coordinate refreshes;"
            " check DESCOPE_REDIS_URL"
        )
        return CheckResult(Severity.FAIL, "redis", message)
    return CheckResult(Severity.OK, "redis", "reachable: refreshes are coordinated across processes")


def _is_loopback(url: str) -> bool:
    origin = Origin.parse(url)
    return origin is not None and origin.is_loopback
