"""Checks of the settings alone: variables, public URL, cookies, and the number of processes."""

import os
import re
import stat
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from .._config.env import PREFIX, Environment, UnknownSettingWarning
from .._config.origin import Origin
from ..emulator.security import production_variable
from ..errors import ConfigurationError
from ..settings import DescopeSettings
from .checks import CheckResult, fail, ok, warn

__all__ = ["SettingsChecks", "is_loopback", "read_settings", "unknown_variables"]

_COOKIE_NAMES = (
    "every other deployment on this host needs other names; after a change of a name, the prefix or the"
    " domain every user signs in again"
)
_FORMER_COOKIES = "keep them in DESCOPE_FORMER_COOKIES for as long as a refresh token lives"

_SECRETS = ("AUTH_MANAGEMENT_KEY", "REDIS_URL", "WEBHOOK_SECRET")
_CONTAINER_FOLDERS = ("/run/", "/var/run/")
"""Where Docker and Kubernetes mount secrets, which every user of a container can read."""

_LARGE_LEEWAY = 30

_PUBLIC_SUFFIXES = frozenset(
    {
        "appspot.com",
        "azurewebsites.net",
        "cloudfront.net",
        "co.jp",
        "co.kr",
        "co.nz",
        "co.uk",
        "co.za",
        "com.au",
        "com.br",
        "com.mx",
        "com.sg",
        "com.tr",
        "firebaseapp.com",
        "fly.dev",
        "github.io",
        "herokuapp.com",
        "netlify.app",
        "ngrok.app",
        "onrender.com",
        "pages.dev",
        "run.app",
        "vercel.app",
        "web.app",
        "workers.dev",
    }
)
"""Frequent entries of publicsuffix.org. No cookie can have one as its domain."""

_WORKERS_ARGUMENT = re.compile(r"(?:^|\s)(?:-w|--workers)[\s=]*(\d+)")


def read_settings() -> tuple[DescopeSettings | None, list[CheckResult]]:
    """Return the settings of the environment, or None if they are wrong, with the results."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnknownSettingWarning)
            settings = DescopeSettings()
    except ConfigurationError as error:
        return None, [_wrong(line) for line in _messages(error)]
    return settings, unknown_variables() or [ok("settings.valid", "the DESCOPE_* variables are valid")]


def unknown_variables() -> list[CheckResult]:
    """Return a warning for each ``DESCOPE_*`` variable that no setting reads."""
    messages = Environment(os.environ).unknown(DescopeSettings.model_fields)
    return [warn("settings.unknown_variable", message) for message in messages]


class SettingsChecks:
    """The checks of valid settings, and of the variables of the process."""

    def __init__(self, settings: DescopeSettings, variables: Mapping[str, str]) -> None:
        self._settings = settings
        self._variables = variables
        self._is_https = (settings.public_url or "").startswith("https:")

    def values(self) -> Iterator[CheckResult]:
        """Check single values, and the files that hold secrets."""
        settings = self._settings
        if settings.leeway > _LARGE_LEEWAY:
            yield warn(
                "settings.large_leeway",
                f"DESCOPE_LEEWAY={settings.leeway} makes every token live so many seconds longer;"
                " synchronize the clock of this host with NTP and unset it",
            )
        if settings.token_cache_size == 0:
            yield warn(
                "settings.no_token_cache",
                "with DESCOPE_TOKEN_CACHE_SIZE=0, every request verifies a signature and runs the on_session"
                " hooks; unset it",
            )
        yield from self._files()

    def public_url(self) -> CheckResult:
        """Check the origin where browsers reach the app."""
        url, production = self._settings.public_url, production_variable(self._variables)
        if url is None:
            message = (
                "not set, so logins work on this machine only; set DESCOPE_PUBLIC_URL=https://<your host>"
            )
            return fail("public_url.missing", message)
        if url == self._settings.base_url or url.endswith(".descope.com"):
            message = f"{url} is the host of Descope; set DESCOPE_PUBLIC_URL to the origin of your app"
            return fail("public_url.descope", message)
        if not is_loopback(url):
            return ok("public_url.valid", url)
        if production is not None:
            message = (
                f"{url} is a loopback URL, and {production} names a production environment; set"
                " DESCOPE_PUBLIC_URL to the https origin that browsers use"
            )
            return fail("public_url.loopback_in_production", message)
        return warn("public_url.loopback", f"{url} is a loopback URL, for development only")

    def cookies(self) -> Iterator[CheckResult]:
        """Check names and attributes of the cookies."""
        settings = self._settings
        names = f"{settings.session_cookie} and {settings.refresh_cookie}"
        if not settings.cookie_prefix and self._is_https:
            message = (
                f"a sibling domain can plant {names}; remove DESCOPE_COOKIE_PREFIX"
                " unless a Descope front-end SDK must read them"
            )
            yield warn("cookies.plain_names", message)
        else:
            yield ok("cookies.names", f"{names}; {_COOKIE_NAMES}")
        if settings.former_cookies:
            listed = ", ".join(settings.former_cookies)
            yield ok("cookies.former", f"refreshes, sign-ins and logouts delete {listed}; {_FORMER_COOKIES}")
        if settings.cookie_samesite == "none":
            message = (
                "with SameSite=None, browsers send them with requests from every site;"
                " set DESCOPE_COOKIE_SAMESITE=lax unless the app runs in a frame of another site"
            )
            yield warn("cookies.samesite_none", message)
        if settings.cookie_domain in _PUBLIC_SUFFIXES:
            message = (
                f"browsers refuse cookies for {settings.cookie_domain}, where everyone can have a host; unset"
                " DESCOPE_COOKIE_DOMAIN"
            )
            yield fail("cookies.public_suffix", message)

    def processes(self) -> CheckResult:
        """Check the number of processes, of which none shares its refreshes without Redis."""
        found = _workers(self._variables)
        if found is None:
            message = (
                "refreshes are coordinated in one process; with several processes, set DESCOPE_REDIS_URL"
            )
            return ok("refresh.one_process", message)
        message = (
            f"{found} without DESCOPE_REDIS_URL: processes refresh the same session"
            " independently, which ends it if the project rotates refresh tokens; set DESCOPE_REDIS_URL"
        )
        return warn("refresh.uncoordinated", message)

    def _files(self) -> Iterator[CheckResult]:
        """Yield a warning for each secret in a file of this user that every user can read."""
        for name in (f"{PREFIX}{secret}_FILE" for secret in _SECRETS):
            path = self._variables.get(name)
            if path and not path.startswith(_CONTAINER_FOLDERS) and _is_readable_by_others(Path(path)):
                message = f"every user of this host can read the file of {name}; run chmod 600 on it"
                yield warn("settings.readable_secret", message)


def is_loopback(url: str) -> bool:
    """Return whether the host of a URL is this machine."""
    origin = Origin.parse(url)
    return origin is not None and origin.is_loopback


def _wrong(line: str) -> CheckResult:
    is_missing = " is missing. " in line
    return fail("settings.missing", line) if is_missing else fail("settings.invalid", line)


def _messages(error: ConfigurationError) -> list[str]:
    """Split an error into one message per setting: several are a list below a heading."""
    lines = str(error).splitlines()
    return [line.removeprefix("- ") for line in lines[1:]] or lines


def _is_readable_by_others(path: Path) -> bool:
    try:
        found = path.stat()
    except OSError:  # it was readable when the settings were created
        return False
    return found.st_uid == os.getuid() and bool(found.st_mode & stat.S_IROTH)


def _workers(variables: Mapping[str, str]) -> str | None:
    """Return the assignment that starts more than one process, or None."""
    for name in ("WEB_CONCURRENCY", "UVICORN_WORKERS"):
        value = variables.get(name, "")
        if value not in {"", "1"}:
            return f"{name}={value}"
    argument = _WORKERS_ARGUMENT.search(variables.get("GUNICORN_CMD_ARGS", ""))
    if argument is not None and argument[1] != "1":
        return f"{argument[1]} workers in GUNICORN_CMD_ARGS"
    return None
