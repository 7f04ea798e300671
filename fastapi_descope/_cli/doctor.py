"""Looks at a configuration, and at an app, for what keeps sign-ins from working; and says how to mend it."""

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
from .._upstream.api import Transport
from .._upstream.responses import ApiResponse
from ..errors import ConfigurationError, InvalidUpstreamResponse, UpstreamError, UpstreamRejected
from ..events import Event, EventBus, StoreDegraded
from ..settings import DescopeSettings
from .app_checks import AppChecks
from .checks import CheckResult, Severity

__all__ = ["CheckResult", "Doctor", "Severity"]

_CLOCK_SECONDS = 5
"""By how much clocks may differ before it is worth a word."""

_REDIS_SECONDS = 2.0
_REDIS_PASSWORD = re.compile(r"redis://[^/@:]*:[^/@]+@(?P<host>\[[^\]]+\]|[^:/?]+)")


class Doctor:
    """Examines the settings of a process and, if given, its app.

    An app that has the plugin installed is examined with its own settings, any other with those of the
    environment. ``variables`` is the environment as far as servers read it. ``transport`` replaces the
    connections to Descope, ``monotonic`` (seconds) times the call, and ``clock`` (epoch
    seconds) is compared with Descope's.
    """

    def __init__(
        self,
        app: Starlette | None = None,
        *,
        variables: Mapping[str, str],
        transport: Transport | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._variables = variables
        self._transport = transport
        self._monotonic = monotonic
        self._clock = clock

    async def examine(self) -> tuple[CheckResult, ...]:
        """Every finding, in order. One call to Descope, and one to Redis if there is to be one."""
        installation = AppChecks(self._app) if self._app is not None else None
        settings, findings = _settings(installation)
        if settings is not None:
            findings += await self._api(settings)
            findings += [_public_url(settings), *_cookies(settings)]
            findings += await self._store(settings)
        if installation is not None:
            findings += installation.results()
        return tuple(findings)

    async def _api(self, settings: DescopeSettings) -> list[CheckResult]:
        client = build_api(settings, EventBus(), transport=self._transport)
        began = self._monotonic()
        try:
            reply = await client.fetch_jwks_response()
            keys = len(parse_key_set(reply.body or b"").keys)
        except UpstreamError as error:
            return [CheckResult(Severity.FAIL, "api", f"{settings.base_url} {_trouble(error)}")]
        finally:
            await client.aclose()
        took = f"{(self._monotonic() - began) * 1000:.0f} ms"
        seen = f"{settings.base_url} has {keys} usable key(s) for {settings.project_id}, in {took}"
        findings = [CheckResult(Severity.OK, "api", seen)]
        findings += self._clocks(reply, settings.leeway)
        if _is_loopback(settings.base_url):
            # An app that the world reaches is in production, whatever it calls itself (EM-04).
            is_public = settings.public_url is not None and not _is_loopback(settings.public_url)
            text = "the API is on this machine: an emulator; unset DESCOPE_BASE_URL in production"
            findings.append(CheckResult(Severity.FAIL if is_public else Severity.WARN, "api", text))
        return findings

    def _clocks(self, reply: ApiResponse, leeway: int) -> Iterator[CheckResult]:
        """Whether the clock of this host is that of Descope, which dates its tokens."""
        try:
            theirs = parsedate_to_datetime(reply.date).timestamp()
        except ValueError:  # none, or not a date
            return
        age = int(reply.age[:6]) if reply.age.isdecimal() else 0  # what a cache answered is older than now
        ahead = round(self._clock() - theirs - age)
        if abs(ahead) <= _CLOCK_SECONDS:
            yield CheckResult(Severity.OK, "clock", "this host's clock is Descope's")
            return
        side = "ahead of" if ahead > 0 else "behind"
        text = f"this host's clock is {abs(ahead)} s {side} Descope's; have NTP set it"
        yield CheckResult(Severity.FAIL if abs(ahead) > leeway else Severity.WARN, "clock", text)

    async def _store(self, settings: DescopeSettings) -> list[CheckResult]:
        if settings.redis_url is not None:
            return [await _redis(settings.redis_url, settings), *_encryption(settings.redis_url)]
        workers = self._variables.get("WEB_CONCURRENCY", "1")
        if workers in {"", "1"}:
            text = "refreshes are coordinated within a process; with several, set DESCOPE_REDIS_URL"
            return [CheckResult(Severity.OK, "refresh", text)]
        text = (
            f"WEB_CONCURRENCY={workers} and no DESCOPE_REDIS_URL: each process refreshes a session on its"
            " own, which ends it in projects that rotate refresh tokens; set DESCOPE_REDIS_URL"
        )
        return [CheckResult(Severity.WARN, "refresh", text)]


def _settings(installation: AppChecks | None) -> tuple[DescopeSettings | None, list[CheckResult]]:
    """The settings to examine, if there are any to be had."""
    installed = installation.settings if installation is not None else None
    if installed is not None:
        return installed, [CheckResult(Severity.OK, "settings", "those of the app")]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            settings = DescopeSettings()
    except ConfigurationError as error:
        return None, [CheckResult(Severity.FAIL, "settings", line) for line in _sentences(str(error))]
    unknown = [CheckResult(Severity.WARN, "settings", str(warning.message)) for warning in caught]
    return settings, unknown or [
        CheckResult(Severity.OK, "settings", "the DESCOPE_* variables are well-formed")
    ]


def _sentences(text: str) -> list[str]:
    """What is wrong with each setting: several are a list below a headline."""
    lines = text.splitlines()
    return [line.removeprefix("- ") for line in lines[1:]] or lines


def _trouble(error: UpstreamError) -> str:
    match error:
        case UpstreamRejected(upstream_status=status):
            return f"knows no such project (status {status}); check DESCOPE_PROJECT_ID and DESCOPE_BASE_URL"
        case InvalidUpstreamResponse(reason=reason):
            return f"did not answer with a key set ({reason}); is DESCOPE_BASE_URL Descope's API?"
        case _:
            return "cannot be reached; check DESCOPE_BASE_URL, and that this host may connect to it"


def _public_url(settings: DescopeSettings) -> CheckResult:
    url = settings.public_url
    if url is None:
        text = "not set, so signing in works on loopback only; set DESCOPE_PUBLIC_URL=https://<your host>"
        return CheckResult(Severity.WARN, "public url", text)
    if _is_loopback(url):
        return CheckResult(Severity.WARN, "public url", f"{url} is this machine: for development only")
    return CheckResult(Severity.OK, "public url", url)


def _cookies(settings: DescopeSettings) -> Iterator[CheckResult]:
    names = f"{settings.session_cookie} and {settings.refresh_cookie}"
    better = "__Secure-" if settings.cookie_domain else "__Host-"
    insecure = settings.cookie_secure is False or (settings.public_url or "").startswith("http:")
    if settings.cookie_prefix or insecure:  # no browser takes a prefix without Secure
        yield CheckResult(Severity.OK, "cookies", names)
    else:
        text = (
            f"{names} can be planted by a sibling domain; set DESCOPE_COOKIE_PREFIX={better}"
            " unless a Descope front-end SDK has to read them"
        )
        yield CheckResult(Severity.WARN, "cookies", text)
    if settings.cookie_samesite == "none":
        text = "SameSite=None sends them with every site's requests; use lax unless the app lives in a frame"
        yield CheckResult(Severity.WARN, "cookies", text)


def _encryption(url: SecretStr) -> Iterator[CheckResult]:
    found = _REDIS_PASSWORD.match(url.get_secret_value())
    if found is not None and not _is_loopback(f"http://{found['host']}"):
        text = "the password travels in the clear; use rediss:// unless the network is private"
        yield CheckResult(Severity.WARN, "redis", text)


async def _redis(url: SecretStr, settings: DescopeSettings) -> CheckResult:
    """Whether Redis answers, seen through the store itself: it reports what it has to do without."""
    seen: list[Event] = []
    events = EventBus()
    events.subscribe(seen.append)
    try:
        store = build_redis_store(url, settings, events, timeout=_REDIS_SECONDS)
    except ConfigurationError as error:
        return CheckResult(Severity.FAIL, "redis", str(error))
    await store.get(secrets.token_hex())
    is_cluster = await store.is_cluster()
    await store.aclose()
    if is_cluster:
        text = "is a Redis Cluster, which is not supported: use a Redis with one primary, replicated or not"
        return CheckResult(Severity.FAIL, "redis", text)
    degraded = next((event for event in seen if isinstance(event, StoreDegraded)), None)
    if degraded is not None:
        text = f"not usable ({degraded.reason}), so each process goes on alone; check DESCOPE_REDIS_URL"
        return CheckResult(Severity.FAIL, "redis", text)
    return CheckResult(Severity.OK, "redis", "answers: refreshes are coordinated across processes")


def _is_loopback(url: str) -> bool:
    origin = Origin.parse(url)
    return origin is not None and origin.is_loopback
