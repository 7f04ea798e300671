"""Checks of the connection to Descope's API, and of the clock that it shows."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime

from .._auth.clients import build_api
from .._tokens.jwks import parse_key_set
from .._upstream.responses import ApiResponse
from .._upstream.transport import Transport
from ..errors import InvalidUpstreamResponse, UpstreamError, UpstreamRejected
from ..events import EventBus
from ..settings import DescopeSettings
from .checks import CheckResult, fail, ok, warn
from .settings_checks import is_loopback

__all__ = ["ApiChecks"]

_CLOCK_TOLERANCE = 5
"""Clock differences up to this many seconds are not reported."""

_PROXIES = ("HTTPS_PROXY", "ALL_PROXY")


class ApiChecks:
    """The checks of the API of the settings."""

    def __init__(
        self,
        settings: DescopeSettings,
        *,
        variables: Mapping[str, str] = os.environ,
        transport: Transport | None = None,
        monotonic: Callable[[], float] = time.perf_counter,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._variables = variables
        self._transport = transport
        self._monotonic = monotonic
        self._clock = clock

    async def results(self) -> list[CheckResult]:
        """Fetch the key set. One call to Descope."""
        settings = self._settings
        api = build_api(settings, EventBus(), transport=self._transport)
        started_at = self._monotonic()
        try:
            response = await api.fetch_jwks_response()
            keys = len(parse_key_set(response.body or b"").keys)
        except UpstreamError as error:
            return [self._failure(error), *self._region(), *self._proxy(error)]
        finally:
            await api.aclose()
        duration = f"{(self._monotonic() - started_at) * 1000:.0f} ms"
        message = f"{settings.base_url} has {keys} usable key(s) for {settings.project_id}, in {duration}"
        return [ok("api.reachable", message), *self._clock_results(response), *self._emulator()]

    def _failure(self, error: UpstreamError) -> CheckResult:
        url = self._settings.base_url
        match error:
            case UpstreamRejected(upstream_status=status):
                message = (
                    f"{url} has no such project (status {status}); check DESCOPE_PROJECT_ID and"
                    " DESCOPE_BASE_URL"
                )
                return fail("api.unknown_project", message)
            case InvalidUpstreamResponse(reason=reason):
                message = (
                    f"{url} did not return a JWKS ({reason}); check that DESCOPE_BASE_URL is the URL of"
                    " Descope's API"
                )
                return fail("api.not_descope", message)
            case _ if is_loopback(url):
                message = f"no emulator responds at {url}; start it with: fastapi-descope emulator"
                return fail("api.no_emulator", message)
            case _:
                message = (
                    f"{url} cannot be reached; check DESCOPE_BASE_URL, and that this host can connect to it"
                )
                return fail("api.unreachable", message)

    def _region(self) -> Iterator[CheckResult]:
        """Explain a failure by a base URL of another region than that of a long project id."""
        expected = DescopeSettings.model_fields["base_url"].get_default(
            call_default_factory=True, validated_data={"project_id": self._settings.project_id}
        )
        url = self._settings.base_url
        if url != expected and url.endswith(".descope.com"):
            message = f"the project is in the region of {expected}, not of {url}; unset DESCOPE_BASE_URL"
            yield fail("api.other_region", message)

    def _proxy(self, error: UpstreamError) -> Iterator[CheckResult]:
        """Explain a failed connection by a proxy that is not used."""
        upper = {name.upper() for name, value in self._variables.items() if value}
        name = next((each for each in _PROXIES if each in upper), None)
        if name is not None and not isinstance(error, (UpstreamRejected, InvalidUpstreamResponse)):
            message = (
                f"{name} is ignored; pass the proxy in code:"
                " Descope(transport=httpx.AsyncHTTPTransport(proxy=...))"
            )
            yield warn("api.proxy_ignored", message)

    def _emulator(self) -> Iterator[CheckResult]:
        """Report an emulator."""
        settings = self._settings
        if not is_loopback(settings.base_url):
            return
        message = "the API is an emulator on this machine; unset DESCOPE_BASE_URL in production"
        # EM-04: an app with a public URL is in production, whatever ENVIRONMENT says.
        if settings.public_url is not None and not is_loopback(settings.public_url):
            yield fail("api.emulator_in_production", message)
        else:
            yield warn("api.emulator", message)

    def _clock_results(self, response: ApiResponse) -> Iterator[CheckResult]:
        """Compare this host's clock with Descope's, which sets the times in tokens."""
        try:
            descope_time = parsedate_to_datetime(response.date).timestamp()
        except ValueError:  # no date, or a malformed one
            return
        age = int(response.age[:6]) if response.age.isdecimal() else 0  # seconds in an HTTP cache
        ahead = round(self._clock() - descope_time - age)
        if abs(ahead) <= _CLOCK_TOLERANCE:
            yield ok("clock.synchronized", "this host's clock agrees with Descope's")
            return
        side = "ahead of" if ahead > 0 else "behind"
        message = f"this host's clock is {abs(ahead)} s {side} Descope's; synchronize it with NTP"
        if abs(ahead) > self._settings.leeway:
            yield fail("clock.wrong", message)
        else:
            yield warn("clock.inexact", message)
