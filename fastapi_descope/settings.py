"""The settings of the package: ``DESCOPE_*`` variables or keyword arguments, validated once, then frozen.

The environment is read when ``DescopeSettings`` is created, not on import.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

from pydantic import Field, TypeAdapter, ValidationError

from ._config.cookie_types import (
    CookieDomain,
    CookieName,
    CookiePrefix,
    CookieSameSite,
    CookieSecure,
    FormerCookies,
    RefreshCookieName,
)
from ._config.env import UnknownSettingWarning
from ._config.env_settings import EnvSettings
from ._config.login_methods import PROVIDERS, social_providers
from ._config.setting_types import (
    ApiOrigin,
    HeaderSecret,
    Items,
    LocalPath,
    LoginMethods,
    PathSegment,
    ProjectId,
    PublicOrigin,
    RedisUrl,
    Resource,
    TenantHint,
    Text,
    Timeout,
    TrustedOrigins,
    WebhookSecret,
    Whole,
)
from .errors import ConfigurationError

__all__ = ["DescopeSettings", "UnknownSettingWarning"]

_DEFAULT_API = "https://api.descope.com"
_REGIONAL_LENGTH = 32


def _regional_api(earlier: Mapping[str, Any]) -> str:
    """Return the API of the region that is part of a long project id (wire contract 1.1)."""
    project_id = earlier.get("project_id", "")
    if len(project_id) < _REGIONAL_LENGTH:
        return _DEFAULT_API
    return f"https://api.{project_id[1:5].lower()}.descope.com"


# There is deliberately no setting for algorithms, for disabling verification, or for a login without state
# (ST-08).
class DescopeSettings(EnvSettings):
    """All settings of the package.

    The value of ``leeway``, for example, is taken from the first of these sources that has one:

    1. the keyword argument ``leeway``;
    2. the variable ``DESCOPE_LEEWAY``, or the file that ``DESCOPE_LEEWAY_FILE`` names;
    3. the file ``descope_leeway`` in the directory ``_secrets_dir``;
    4. the default.

    Only ``project_id`` is required. In a variable or a file, commas separate the items of a list.

    ``redis_url`` may be an unencrypted ``redis://`` URL, for a private network; ``fastapi-descope doctor``
    warns if it has a password. ``cookie_samesite="strict"`` applies to the session cookies only: the cookies
    of a login in progress stay Lax, because the callback would not receive them otherwise.

    Raises:
        ConfigurationError: a value is missing or wrong. The message lists all of these settings, and
            contains no value.

    Warns:
        UnknownSettingWarning: a ``DESCOPE_*`` variable is set that no setting reads.
    """

    # It becomes part of paths and issuers (ST-02).
    project_id: ProjectId = Field(
        default=..., description="the project id: P, then 20 to 64 letters and digits"
    )
    """The id of your project, from the Descope console."""
    base_url: ApiOrigin = Field(
        default_factory=_regional_api,
        description="the https origin of Descope's API or of a custom domain, without a path"
        " (DESCOPE_BASE_URI is read, too)",
    )
    """Descope's API, or your custom domain. The default is the API of the region in the project id."""
    public_url: PublicOrigin | None = Field(
        default=None,
        description="the https origin where browsers reach the app, such as https://app.example.com",
    )
    """The origin at which browsers reach the app. A login that starts under another host is redirected to
    it. Without it the app is in development mode and signs users in on this machine only."""
    default_tenant: TenantHint | None = Field(
        default=None, repr=False, description="a tenant id, or an e-mail address"
    )
    """The tenant of ``/login/sso`` when the request names none."""
    auth_management_key: HeaderSecret = Field(
        default=None, validate_default=True, description="a key of visible ASCII characters without a colon"
    )
    """The key that is appended to the bearer of each call to Descope, if the project requires one."""
    audience: Text | None = Field(default=None, description="an audience")
    """The audience that tokens must have."""
    extra_issuers: Items = Field(
        default=(), validate_default=True, description="issuers, separated by commas"
    )
    """Further accepted values of ``iss``."""
    first_party_clients: Items = Field(
        default=(), validate_default=True, description="client ids, separated by commas"
    )
    """Client ids (``azp``) of your own inbound apps, whose tokens count as sessions."""
    # CL-05, CL-07
    resource: Resource | None = Field(
        default=None,
        description="the https URL of the API, without a query and without a slash at the end",
    )
    """The identifier of the API as an OAuth resource: the audience that access tokens of applications must
    have. With it the app serves the metadata of RFC 9728."""
    mcp_server: PathSegment | None = Field(default=None, description="the id of an MCP server in Descope")
    """The MCP server of the project that issues tokens for ``resource``. Without it the project does."""
    cookie_secure: CookieSecure = Field(default=None, description="auto, true or false")
    """Whether cookies have ``Secure``. ``auto`` sets it over https."""
    cookie_samesite: CookieSameSite = Field(default="lax", description="lax, strict or none")
    """``SameSite`` of the session cookies. The cookies of a login in progress are always Lax."""
    cookie_domain: CookieDomain | None = Field(default=None, description="a domain")
    """The domain of the session cookies. Without it only the app's own host receives them."""
    cookie_prefix: CookiePrefix = Field(
        default="auto", validate_default=True, description="auto, __Host-, __Secure- or nothing"
    )
    """The prefix of the cookie names. ``auto`` is ``__Host-`` over https, or ``__Secure-`` with a domain."""
    session_cookie_name: CookieName = Field(
        default="DS", description="a cookie name: up to 64 token characters of RFC 6265"
    )
    """The name of the session cookie, without prefix. It cannot be ``DSR``."""
    refresh_cookie_name: RefreshCookieName = Field(
        default="DSR", description="a cookie name: up to 64 token characters of RFC 6265"
    )
    """The name of the refresh cookie, without prefix. It cannot be ``DS``."""
    former_cookies: FormerCookies = Field(
        default=(),
        validate_default=True,
        description="cookies of earlier settings, separated by commas, each a name with its prefix, and with"
        " its domain if it had one: DS, DSR, __Secure-DS; Domain=example.com",
    )
    """Cookies of earlier settings, which refreshes, logins and logouts delete."""
    trusted_origins: TrustedOrigins = Field(
        default=(),
        validate_default=True,
        description="origins, separated by commas: https://host or https://host:port, without a path,"
        " not even a slash at the end",
    )
    """Further origins that can send requests, open WebSockets and be redirect targets."""
    login_path: LocalPath | None = Field(
        default=None,
        pattern=r"^[^?#]*$",
        description="a path of this app without a query, such as /welcome, that needs no session",
    )
    """The app's own login page, to which users without a session are redirected, with ``return_to``. By
    default it is ``/login``, which offers the ways to sign in, or ``/login/sso`` if ``sso`` is the only one
    besides ``flow``."""
    # SI-01, NP-09: an app has to want each way in.
    login_methods: LoginMethods = Field(
        default=("sso",),
        validate_default=True,
        description="ways to sign in, separated by commas: sso, magiclink, notp, flow,"
        f" {', '.join(PROVIDERS)}, and oauth:NAME for a custom provider",
    )
    """The ways to sign in that the app offers. Each adds its routes. ``notp``, the sign-in with WhatsApp,
    needs the extra ``notp``."""
    # SI-04
    sign_up: bool = Field(default=False, description="true or false")
    """Whether a social login or a link by e-mail creates the user if the project has none. Single sign-on
    follows the configuration of the tenant instead."""
    # AK-01: each unknown key costs a call to Descope, which an app has to want.
    access_keys: bool = Field(default=False, description="true or false")
    """Accepts access keys as bearers, for ``Machine``. An unknown key costs one call to Descope."""
    post_login_path: LocalPath = Field(default="/", description="a path of this app, such as /home")
    """Where a login ends if the request names no path."""
    post_logout_path: LocalPath = Field(default="/", description="a path of this app, such as /bye")
    """Where a logout ends if the request names no path."""
    # CA-06: browsers keep other pages for their Back button, also after a logout.
    no_store: bool = Field(default=False, description="true or false")
    """Sends ``Cache-Control: no-store`` with responses that use the session, so that Back shows none of them
    after a logout."""
    websocket_close_code: Whole = Field(
        default=4401, ge=3000, le=4999, description="a close code of applications, 3000 to 4999"
    )
    """The code that closes a WebSocket when its session ends."""
    leeway: Whole = Field(default=5, ge=0, le=60, description="whole seconds, 0 to 60")
    """The accepted difference in seconds between the clocks of Descope and the app."""
    refresh_ahead: Whole = Field(default=60, ge=0, le=3600, description="whole seconds, 0 to 3600")
    """How many seconds before its expiry a session is refreshed."""
    refresh_grace: Whole = Field(default=30, ge=0, le=300, description="whole seconds, 0 to 300")
    """How many seconds a spent refresh token still leads to its successor, once a browser has presented the
    successor. Until then it does so for at most ten minutes."""
    # RV-02: a refresh token that was revoked must not work again.
    revocation_ttl: Whole = Field(
        default=2_592_000, ge=3_600, le=31_536_000, description="whole seconds, 3600 to 31536000 (a year)"
    )
    """How many seconds the revocation of a user is kept: at least the lifetime of refresh tokens."""
    # RV-07: another way in, which an app has to want.
    webhook_secret: WebhookSecret = Field(
        default=None, validate_default=True, description="16 to 512 visible ASCII characters"
    )
    """The HMAC secret of the project's audit webhook. With it the app has the route ``/descope/events``."""
    upstream_timeout: Timeout = Field(default=5.0, description="seconds, above 0 and up to 60")
    """The timeout in seconds of one call to Descope."""
    jwks_max_stale: Whole = Field(
        default=86_400, ge=60, le=604_800, description="whole seconds, 60 to 604800 (a week)"
    )
    """How many seconds the keys of Descope are used during an outage."""
    token_cache_size: Whole = Field(
        default=4096, ge=0, le=100_000, description="a number of tokens, 0 (off) to 100000"
    )
    """How many verified session tokens a process caches, and how many refresh tokens. 0 turns it off."""
    redis_url: RedisUrl = Field(
        default=None,
        validate_default=True,
        description="a redis:// or rediss:// URL, also with +sentinel or +cluster, or unix://",
    )
    """The Redis through which processes share refreshes and revocations. Needs the extra ``redis``.

    ``redis+sentinel://host1,host2,host3/service/0`` leads to Sentinels, ``redis+cluster://host1,host2`` to a
    cluster; ``rediss+sentinel://`` and ``rediss+cluster://`` use TLS.
    """

    @property
    def social_providers(self) -> Sequence[str]:
        """The names of the providers in ``login_methods``."""
        return social_providers(self.login_methods)

    def with_resource(self, resource: str) -> Self:
        """Return these settings with another ``resource``.

        Raises:
            ConfigurationError: It is not the identifier of a resource.
        """
        try:
            identifier = TypeAdapter[str](Resource).validate_python(resource)
        except ValidationError:
            identifier = ""
        if not identifier:
            raise ConfigurationError(f"resource: expected {type(self).model_fields['resource'].description}")
        return self.model_copy(update={"resource": identifier})

    @property
    def issuers(self) -> frozenset[str]:
        """The accepted ``iss`` values: the forms that Descope uses, and ``extra_issuers``."""
        project = self.project_id
        urls = {f"{self.base_url}/{project}", f"{self.base_url}/v1/apps/{project}"}
        return frozenset({project, *urls, *self.extra_issuers})

    @property
    def app_issuers(self) -> frozenset[str]:
        """The beginnings of further ``iss`` values of inbound apps: an MCP server or a tenant follows."""
        apps = f"{self.base_url}/v1/apps"
        return frozenset({f"{apps}/{self.project_id}", f"{apps}/agentic/{self.project_id}"})

    @property
    def authorization_server(self) -> str:
        """The issuer of the access tokens of applications, where their clients find its metadata."""
        apps = f"{self.base_url}/v1/apps"
        agentic = f"{apps}/agentic/{self.project_id}/{self.mcp_server}"
        return agentic if self.mcp_server else f"{apps}/{self.project_id}"

    @property
    def resource_metadata_path(self) -> str:
        """The path of the metadata of ``resource`` (RFC 9728, section 3.1)."""
        return f"/.well-known/oauth-protected-resource{urlsplit(self.resource or '').path}"

    @property
    def resource_metadata_url(self) -> str | None:
        """The address of the metadata of ``resource``, or None without one."""
        return urljoin(self.resource, self.resource_metadata_path) if self.resource else None

    @property
    def session_cookie(self) -> str:
        """The full name of the session cookie, with its prefix."""
        return self.cookie_prefix + self.session_cookie_name

    @property
    def refresh_cookie(self) -> str:
        """The full name of the refresh cookie, with its prefix."""
        return self.cookie_prefix + self.refresh_cookie_name
