"""Compare what the project at Descope says about cookies with the app's settings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .._config.origin import Origin
from .._telemetry.log_once import LogOnce
from ..errors import ProjectCookiesRenamed
from ..login import ProjectCookies
from ..settings import DescopeSettings

__all__ = ["COMPARED_FIELDS", "CookieComparison", "CookieDifference"]

COMPARED_FIELDS = ("sessionCookieName", "cookieName", "sessionCookieDomain", "cookieDomain")
"""The fields of a token response that are compared. The path and the ages have no setting."""

_PREFIXES = ("__Host-", "__Secure-")


@dataclass(frozen=True, slots=True)
class CookieDifference:
    """A value of the project that differs from the app's setting.

    Attributes:
        variables: The variables to set, with their values. There are two for a name with a prefix.
        message: A sentence for the operator, with the variables.
        is_name: Whether it is the name of a cookie, which may be the kind of its tokens too.
    """

    variables: Mapping[str, str]
    message: str
    is_name: bool


class CookieComparison:
    """Finds where the project differs from the settings. The settings apply in any case (CK-06)."""

    def __init__(self, settings: DescopeSettings) -> None:
        self._settings = settings
        self._log_once = LogOnce()

    def warn(self, response: Mapping[str, object]) -> None:
        """Log a warning for each difference in a token response, once for each value."""
        for difference in self.differences(response):
            self._log_once.warning(difference.message)

    def rename_error(self, response: Mapping[str, object]) -> ProjectCookiesRenamed | None:
        """Return the error that names the variables to set, or None if the project has renamed no cookie."""
        variables: dict[str, str] = {}
        for difference in self.differences(response):
            if difference.is_name:
                variables |= difference.variables
        return ProjectCookiesRenamed(variables) if variables else None

    def differences(self, response: Mapping[str, object]) -> tuple[CookieDifference, ...]:
        """Return the differences in a token response. Malformed values count as absent."""
        settings, project = self._settings, ProjectCookies.from_json(response)
        names = (
            ("session", "DS", settings.session_cookie_name, project.session_name),
            ("refresh", "DSR", settings.refresh_cookie_name, project.refresh_name),
        )
        differences: list[CookieDifference] = []
        for kind, default, configured, name in names:
            if name not in (None, default, configured, settings.cookie_prefix + configured):
                differences.append(self._name_difference(kind, configured, name))
        return (*differences, *self._domain_differences(project))

    def _name_difference(self, kind: str, configured: str, name: str) -> CookieDifference:
        prefix = next((each for each in _PREFIXES if name.startswith(each)), "")
        variables = {"DESCOPE_COOKIE_PREFIX": prefix} if prefix else {}
        variables[f"DESCOPE_{kind.upper()}_COOKIE_NAME"] = name.removeprefix(prefix)
        message = (
            f"The {kind} cookie of the Descope project is called {name}, that of this app {configured}: set"
            f" {_assignments(variables)}. Descope may give its tokens the name of the cookie, and tokens with"
            " an unknown name are refused"
        )
        return CookieDifference(variables, message, is_name=True)

    def _domain_differences(self, project: ProjectCookies) -> Iterator[CookieDifference]:
        """Yield the difference of the first domain that the app could use: one that contains its host."""
        public = Origin.parse(self._settings.public_url or "")
        domains = (project.session_domain or "", project.refresh_domain or "")
        for domain in (each.lower().removeprefix(".") for each in domains):
            is_usable = public is not None and public.domain_matches(domain)
            if is_usable and domain != self._settings.cookie_domain:
                yield self._domain_difference(domain)
                return

    def _domain_difference(self, domain: str) -> CookieDifference:
        variables = {"DESCOPE_COOKIE_DOMAIN": domain}
        message = (
            f"The cookies of the Descope project are for the domain {domain}, those of this app for"
            f" {self._settings.cookie_domain or 'its own host'}: set {_assignments(variables)} if Descope's"
            " front-end SDKs or other hosts share them"
        )
        return CookieDifference(variables, message, is_name=False)


def _assignments(variables: Mapping[str, str]) -> str:
    return " and ".join(f"{name}={value}" for name, value in variables.items())
