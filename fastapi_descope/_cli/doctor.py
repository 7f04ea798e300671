"""The ``doctor`` command: runs the checks of the settings, of Descope, of Redis and of an app."""

import time
import warnings
from collections.abc import Callable, Mapping

from starlette.applications import Starlette

from .._config.env import UnknownSettingWarning
from .._upstream.transport import Transport
from ..errors import ConfigurationError
from ..settings import DescopeSettings
from .api_checks import ApiChecks
from .app_checks import AppChecks
from .checks import CheckResult, Report, fail, ok
from .loaded_app import load_app
from .project_checks import check_project, project_not_checked
from .redis_checks import check_redis
from .settings_checks import SettingsChecks, read_settings, unknown_variables

__all__ = ["Doctor", "examine"]


async def examine(app_name: str, *, variables: Mapping[str, str], refresh_token: str | None = None) -> Report:
    """Run all checks, with those of the app that ``module:attribute`` names, if any.

    An app that cannot be imported is one failed check. If the settings are the reason, their results say so.
    """
    app, failures = _load(app_name) if app_name else (None, [])
    results = await Doctor(app, variables=variables, refresh_token=refresh_token).run_checks()
    messages = "\n".join(result.message for result in results)
    return Report([*results, *(each for each in failures if each.message not in messages)])


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

        Costs one call to Descope, another with a refresh token, and three to Redis if it is configured.
        """
        app_checks = AppChecks(self._app) if self._app is not None else None
        settings, results = _check_settings(app_checks)
        if settings is not None:
            checks = SettingsChecks(settings, self._variables)
            results += [*checks.values(), *await self._check_api(settings)]
            results += [checks.public_url(), *checks.cookies()]
            results += await self._check_project(settings)
            results += await self._check_store(settings, checks)
        if app_checks is not None:
            results += app_checks.results()
        return tuple(results)

    async def _check_api(self, settings: DescopeSettings) -> list[CheckResult]:
        checks = ApiChecks(
            settings,
            variables=self._variables,
            transport=self._transport,
            monotonic=self._monotonic,
            clock=self._clock,
        )
        return await checks.results()

    async def _check_project(self, settings: DescopeSettings) -> list[CheckResult]:
        if self._refresh_token is None:
            return [project_not_checked()]
        return await check_project(
            settings, self._refresh_token, transport=self._transport, clock=self._clock
        )

    async def _check_store(self, settings: DescopeSettings, checks: SettingsChecks) -> list[CheckResult]:
        if settings.redis_url is not None:
            return await check_redis(settings.redis_url, settings)
        return [checks.processes()]


def _check_settings(app_checks: AppChecks | None) -> tuple[DescopeSettings | None, list[CheckResult]]:
    """Return the settings to check, or None if they are wrong, with the results so far."""
    installed = app_checks.settings if app_checks is not None else None
    if installed is not None:
        return installed, [ok("settings.of_the_app", "using the settings of the app"), *unknown_variables()]
    return read_settings()


def _load(name: str) -> tuple[Starlette | None, list[CheckResult]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnknownSettingWarning)  # is a result of the checks
            return load_app(name), []
    except ConfigurationError as error:
        lines = [line.removeprefix("- ") for line in str(error).splitlines()]
        return None, [fail("app.not_loaded", line) for line in lines[1:] or lines]
