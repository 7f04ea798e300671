"""The settings: ``DESCOPE_*`` variables or keywords, checked once, frozen from then on.

The environment is read when ``DescopeSettings`` is built, never at import. On purpose there is no
setting for algorithms, for switching verification off, or for a login without state (ST-08).
"""

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypedDict, Unpack

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from ._config.env import PREFIX, Environment, InvalidValue
from ._config.setting_types import (
    REFUSED,
    ApiOrigin,
    CookieDomain,
    CookieName,
    CookiePrefix,
    CookieSameSite,
    CookieSecure,
    Items,
    OwnPath,
    Prefix,
    ProjectId,
    PublicOrigin,
    RedisUrl,
    RefreshCookieName,
    SameSite,
    TenantHint,
    Text,
    Timeout,
    TrustedOrigins,
    VisibleSecret,
    Whole,
    refuse,
)
from .errors import ConfigurationError

__all__ = ["DescopeSettings", "SettingValues"]

_MAY_BE_EMPTY = frozenset({"cookie_prefix", "extra_issuers", "trusted_origins"})
_DEFAULT_API = "https://api.descope.com"
_REGIONAL_LENGTH = 32


def _regional_api(known: Mapping[str, Any]) -> str:
    """The API of the region that is part of a long project id (wire contract 1.1)."""
    project_id = known.get("project_id", "")
    if len(project_id) < _REGIONAL_LENGTH:
        return _DEFAULT_API
    return f"https://api.{project_id[1:5].lower()}.descope.com"


class SettingValues(TypedDict, total=False):
    """What ``DescopeSettings`` takes as keywords; whatever is left out comes from the environment."""

    project_id: str
    base_url: str
    public_url: str | None
    default_tenant: str | None
    auth_management_key: SecretStr | str | None
    audience: str | None
    extra_issuers: Sequence[str]
    cookie_secure: bool | None
    cookie_samesite: SameSite
    cookie_prefix: Prefix
    cookie_domain: str | None
    session_cookie_name: str
    refresh_cookie_name: str
    trusted_origins: Sequence[str]
    post_login_path: str
    post_logout_path: str
    leeway: int
    refresh_ahead: int
    refresh_grace: int
    upstream_timeout: float
    jwks_max_stale: int
    token_cache_size: int
    redis_url: SecretStr | str | None
    _secrets_dir: str | Path | None


class DescopeSettings(BaseSettings):
    """Every setting, from keywords, else ``DESCOPE_*`` variables, else secret files, else defaults.

    A variable is the setting's name in capitals behind ``DESCOPE_``: ``DESCOPE_PROJECT_ID`` is the only
    one that must be there. ``DESCOPE_X_FILE`` names a file with the value of ``DESCOPE_X``, and
    ``_secrets_dir`` a directory of files called ``descope_x``. Lists are separated by commas.

    ``redis_url`` may be plain ``redis://``, for a private network; ``fastapi-descope doctor`` warns of it.
    ``cookie_samesite="strict"`` holds for the session cookies; the cookies of a login under way stay Lax,
    or the callback would not see them.

    Raises:
        ConfigurationError: on any wrong value; it names every wrong variable, and no value.

    Warns with ``UnknownSettingWarning`` of ``DESCOPE_*`` variables that nothing reads.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    project_id: ProjectId = Field(description="the project id: P, then 20 to 64 letters and digits")
    base_url: ApiOrigin = Field(
        default_factory=_regional_api,
        description="the https origin of Descope's API or of a custom domain, without a path"
        " (it may also come from DESCOPE_BASE_URI)",
    )
    public_url: PublicOrigin | None = Field(
        default=None,
        description="the https origin where browsers reach the app, such as https://app.example.com",
    )
    default_tenant: TenantHint | None = Field(
        default=None, repr=False, description="a tenant id, or an e-mail address"
    )
    auth_management_key: VisibleSecret | None = Field(
        default=None, description="a key of visible ASCII characters"
    )
    audience: Text | None = Field(default=None, description="an audience")
    extra_issuers: Items = Field(default=(), description="issuers, separated by commas")
    cookie_secure: CookieSecure = Field(default=None, description="auto, true or false")
    cookie_samesite: CookieSameSite = Field(default="lax", description="lax, strict or none")
    cookie_prefix: CookiePrefix = Field(default="", description="__Host-, __Secure- or nothing")
    cookie_domain: CookieDomain | None = Field(default=None, description="a domain")
    session_cookie_name: CookieName = Field(
        default="DS", description="a cookie name: up to 64 token characters of RFC 6265"
    )
    refresh_cookie_name: RefreshCookieName = Field(
        default="DSR", description="a cookie name: up to 64 token characters of RFC 6265"
    )
    trusted_origins: TrustedOrigins = Field(
        default=(),
        description="origins, separated by commas: https://host or https://host:port and no more,"
        " not even a slash at the end",
    )
    post_login_path: OwnPath = Field(default="/", description="a path of this app, such as /home")
    post_logout_path: OwnPath = Field(default="/", description="a path of this app, such as /bye")
    leeway: Whole = Field(default=5, ge=0, le=60, description="whole seconds, 0 to 60")
    refresh_ahead: Whole = Field(default=60, ge=0, le=3600, description="whole seconds, 0 to 3600")
    refresh_grace: Whole = Field(default=30, ge=0, le=300, description="whole seconds, 0 to 300")
    upstream_timeout: Timeout = Field(default=5.0, description="seconds, above 0 and up to 60")
    jwks_max_stale: Whole = Field(
        default=86_400, ge=60, le=604_800, description="whole seconds, 60 to 604800 (a week)"
    )
    token_cache_size: Whole = Field(
        default=4096, ge=0, le=100_000, description="a number of tokens, 0 (off) to 100000"
    )
    redis_url: RedisUrl | None = Field(
        default=None, description="a redis:// or rediss:// URL with a host, or a unix:// URL"
    )

    def __init__(self, **values: Unpack[SettingValues]) -> None:
        environment, fields = Environment(os.environ), type(self).model_fields
        environment.warn_of_unknown(fields)
        given: dict[str, Any] = {**environment.file_and_alias_values(fields), **values}
        problem = None
        try:
            super().__init__(**given)
        except ValidationError as refused:
            problem = _explanation(refused.errors(include_input=False, include_url=False), fields)
        except (SettingsError, OSError, UnicodeError):
            problem = "_secrets_dir: expected a directory of small, readable text files"
        if problem is not None:  # not raised above, where __context__ would hold the values
            raise ConfigurationError(problem)

    @field_validator("*", mode="before")
    @classmethod
    def _usable(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, InvalidValue):
            refuse(value.reason)
        blank = isinstance(value, str) and not value.strip()
        if blank and info.field_name not in _MAY_BE_EMPTY:
            refuse("empty; give it a value or remove it")
        return value

    @property
    def issuers(self) -> frozenset[str]:
        """The accepted ``iss`` values: the forms that Descope uses, and ``extra_issuers``."""
        project = self.project_id
        urls = {f"{self.base_url}/{project}", f"{self.base_url}/v1/apps/{project}"}
        return frozenset({project, *urls, *self.extra_issuers})

    @property
    def session_cookie(self) -> str:
        """The full name of the session cookie."""
        return self.cookie_prefix + self.session_cookie_name

    @property
    def refresh_cookie(self) -> str:
        """The full name of the refresh cookie."""
        return self.cookie_prefix + self.refresh_cookie_name


def _unknown(name: str, fields: Mapping[str, FieldInfo]) -> str:
    near = get_close_matches(name, fields, n=1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")


def _sentence(error: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "*"  # a check of a subclass
    variable = PREFIX + name.upper()
    match error["type"]:
        case "extra_forbidden":
            return _unknown(name, fields)
        case "missing" if name == "project_id":
            return (
                f"{variable} is missing. Copy it from the Descope console (Project settings); to work"
                " without a Descope project, run `fastapi-descope emulator` and use the id it prints"
            )
        case kind if kind == REFUSED:
            return f"{variable}: {error['msg']}"
        case _:
            expected = (fields[name].description if name in fields else None) or "another value"
            return f"{variable}: expected {expected}"


def _explanation(errors: Sequence[ErrorDetails], fields: Mapping[str, FieldInfo]) -> str:
    """What is wrong, one line for each setting, without any value (ST-05)."""
    # A default that depends on a wrong setting could not be made: no mistake of its own.
    errors = [error for error in errors if error["type"] != "default_factory_not_called"]
    lines = list({error["loc"][:1]: _sentence(error, fields) for error in errors}.values())
    if len(lines) == 1:
        return lines[0]
    return "\n- ".join([f"{len(lines)} settings are wrong:", *lines])
