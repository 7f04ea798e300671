"""The types of settings: they check and normalise a value, and never repeat it in an error.

An error that is a plain ``ValueError`` is reported with the setting's description; ``refuse`` gives a more
precise reason. A check sees the settings declared before its own through ``ValidationInfo``, so a
contradiction is reported for the later of two settings.
"""

# ST-05: errors contain no value. ST-06: contradictory settings are refused.

import re
from collections.abc import Sequence
from typing import Annotated, Generic, Literal, Never, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, SecretStr, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_settings import NoDecode

from .login_methods import is_login_method
from .origin import Origin
from .tenant_hint import TENANT_HINT_PATTERN

__all__ = [
    "MAY_BE_BLANK",
    "PROJECT_ID",
    "REFUSED",
    "ApiOrigin",
    "CookieDomain",
    "CookieName",
    "CookiePrefix",
    "CookieSameSite",
    "CookieSecure",
    "FormerCookies",
    "HeaderSecret",
    "Items",
    "LocalPath",
    "LoginMethods",
    "PathSegment",
    "Prefix",
    "ProjectId",
    "PublicOrigin",
    "RedisUrl",
    "RefreshCookieName",
    "Resource",
    "SameSite",
    "TenantHint",
    "Text",
    "Timeout",
    "TrustedOrigins",
    "WebhookSecret",
    "Whole",
    "refuse",
]

REFUSED = "descope_refused"
"""The type of pydantic errors whose message comes from ``refuse``."""

MAY_BE_BLANK = "may be blank"
"""Marks the type of a setting that may be an empty string."""

PROJECT_ID = re.compile("^P[A-Za-z0-9]{20,64}$")
"""The grammar of a Descope project id. Match with ``fullmatch``."""

Prefix = Literal["", "__Host-", "__Secure-"]
PrefixOrAuto = Literal["auto", "", "__Host-", "__Secure-"]
SameSite = Literal["lax", "strict", "none"]

_Argument = TypeVar("_Argument")
_Value = TypeVar("_Value")

# Encoded dots, slashes, backslashes, percent signs and NULs, which a proxy or browser may decode (RT).
_ENCODED = re.compile(r"%(?:2[ef5]|5c|00)", re.IGNORECASE)


class Coerced(Generic[_Argument, _Value]):
    """The type of a setting that is passed as one type and read as another.

    To type checkers it is a descriptor: as in dataclasses, the type that it accepts is the type of the
    keyword argument, and the type that it returns is the type of the attribute. To pydantic it is the
    second type. It has no instances.
    """

    def __get__(self, instance: object, owner: type) -> _Value: ...  # type: ignore[empty-body]  # never called

    def __set__(self, instance: object, value: _Argument) -> None: ...

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the second type."""
        _, value = get_args(source)
        return handler.generate_schema(value)


def refuse(reason: str) -> Never:
    """Raise a validation error with ``reason``, which must not contain the value."""
    raise PydanticCustomError(REFUSED, "{reason}", {"reason": reason})


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        refuse("expected a number, not true or false")
    return value


def _none_for_auto(value: object) -> object:
    return None if isinstance(value, str) and value.lower() == "auto" else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _split_items(value: object) -> object:
    """Split a string at its commas."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",")) if value.strip() else ()
    return value


def _parse_origin(text: str) -> Origin:
    """Return the origin ``text``: https, or http on loopback."""
    origin = Origin.parse(text)
    if origin is None:
        raise ValueError
    if origin.scheme == "http" and not origin.is_loopback:
        refuse("plain http is allowed for localhost, 127.0.0.1 and [::1] only; use https")
    return origin


def _normalise_origins(items: tuple[str, ...]) -> tuple[str, ...]:
    # They are compared with header values as text, so every other spelling would never match (CS-07).
    return tuple(dict.fromkeys(str(_parse_origin(item)) for item in items))


def _api_origin(text: str) -> str:
    """Check the form only: with custom domains any host may be Descope's API."""
    # ST-01: https by name, or http on loopback.
    origin = _parse_origin(text.removesuffix("/"))
    if origin.is_address and not origin.is_loopback:
        refuse("expected a host name, not an IP address")
    return str(origin)


def _public_origin(text: str) -> str:
    if re.match(r"https?://[^/?#]+/[^?#]", text, re.IGNORECASE):
        refuse(
            "expected an origin without a path, such as https://app.example.com; a path that a proxy"
            " adds belongs in the root path (uvicorn --root-path)"
        )
    return str(_parse_origin(text.removesuffix("/")))


# RFC 9728, section 1.2. Without a query, which would be part of the address of the metadata.
_RESOURCE = re.compile(r"(?P<origin>https?://[^/?#]+)(?P<path>(?:/[A-Za-z0-9._~-]+)*)", re.IGNORECASE)


def _resource(text: str) -> str:
    """Return the identifier of a resource with its origin as browsers write it."""
    match = _RESOURCE.fullmatch(text)
    if match is None or {".", ".."} & set(match["path"].split("/")):
        raise ValueError
    return f"{_parse_origin(match['origin'])}{match['path']}"


def _header_secret(secret: SecretStr) -> SecretStr:
    """Check for visible ASCII, because the secret is sent in a header (wire contract 1.4)."""
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError
    return secret


# RV-07
def _webhook_secret(secret: SecretStr) -> SecretStr:
    """Check for enough visible ASCII: a person who guesses the secret can end sessions."""
    if not re.fullmatch(r"[!-~]{16,512}", secret.get_secret_value()):
        raise ValueError
    return secret


_REDIS_HOST = r"(?:\[[^\]]+\]|[^/?#:@\[,]+)(?::[^/?#@,]*)?"
_REDIS_HOSTS = rf"{_REDIS_HOST}(?:,{_REDIS_HOST})*"
_REDIS_URL = re.compile(
    rf"(?=[!-~]+\Z)(?:rediss?://(?:[^/?#@]*@)?{_REDIS_HOST}(?:[/?#].*)?"
    rf"|rediss?\+sentinel://(?:[^/?#@]*@)?{_REDIS_HOSTS}/[^/?#]+(?:[/?#].*)?"
    rf"|rediss?\+cluster://(?:[^/?#@]*@)?{_REDIS_HOSTS}(?:[/?#].*)?"
    r"|unix://.+)"
)


def _redis_url(url: SecretStr) -> SecretStr:
    if not _REDIS_URL.fullmatch(url.get_secret_value()):
        raise ValueError
    return url


def _local_path(path: str) -> str:
    """Check that no browser can take the path for the URL of another site (requirements 2.5)."""
    segments = path.partition("?")[0].split("/")
    if "//" in path or "\\" in path or {".", ".."} & set(segments) or _ENCODED.search(path):
        raise ValueError
    return path


def _login_methods(items: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Return the items without repetitions. A misspelt one would be a way in that silently is not there."""
    if not items or not all(map(is_login_method, items)):
        raise ValueError
    if set(items) == {"flow"} and _earlier(info, "login_path") is None:
        refuse("flow alone needs DESCOPE_LOGIN_PATH, the page of the app that shows the flow")
    return tuple(dict.fromkeys(items))


def _earlier(info: ValidationInfo, name: str) -> str | None:
    """Return the value of a setting declared earlier, or None if it is unset or wrong."""
    value: object = info.data.get(name)
    return value if isinstance(value, str) else None


def _is_insecure(info: ValidationInfo) -> bool:
    """Return whether the settings leave the cookies without ``Secure``."""
    secure: object = info.data.get("cookie_secure")
    if secure is None:
        return (_earlier(info, "public_url") or "").startswith("http:")
    return not secure


def _check_secure(secure: bool | None, info: ValidationInfo) -> bool | None:  # noqa: FBT001 - pydantic calls it
    if secure is False and (_earlier(info, "public_url") or "").startswith("https:"):
        refuse("false contradicts DESCOPE_PUBLIC_URL, which is https; remove this setting")
    return secure


def _check_samesite(samesite: SameSite, info: ValidationInfo) -> SameSite:
    if samesite == "none" and _is_insecure(info):
        refuse("browsers reject SameSite=None without Secure; set DESCOPE_COOKIE_SECURE=true")
    return samesite


def _prefix_for_auto(value: object, info: ValidationInfo) -> object:
    """Return the prefix that ``auto`` means: the strictest that browsers accept with the other settings."""
    if not isinstance(value, str) or value.lower() != "auto":
        return value
    is_https = (_earlier(info, "public_url") or "").startswith("https:")
    if not (is_https or info.data.get("cookie_secure")):
        return ""
    return "__Secure-" if _earlier(info, "cookie_domain") else "__Host-"


def _check_prefix(prefix: Prefix, info: ValidationInfo) -> Prefix:
    if prefix and _is_insecure(info):
        refuse("browsers reject prefixed cookies without Secure; set DESCOPE_COOKIE_SECURE=true")
    if prefix == "__Host-" and _earlier(info, "cookie_domain"):
        refuse("__Host- cookies have no domain; remove this setting or DESCOPE_COOKIE_DOMAIN")
    return prefix


def _check_domain(text: str, info: ValidationInfo) -> str:
    """Check that the public host domain-matches the domain (RFC 6265, section 5.1.3)."""
    domain = text.lower().removeprefix(".")
    public = Origin.parse(_earlier(info, "public_url") or "")
    if public is None:
        refuse("requires DESCOPE_PUBLIC_URL, whose host it must be or contain")
    if not _is_domain_of(public, domain):
        refuse("expected the host of DESCOPE_PUBLIC_URL or a parent domain of it, but no top-level domain")
    return domain


def _is_domain_of(public: Origin, domain: str) -> bool:
    return not public.is_address and "." in domain and f".{public.host}".endswith(f".{domain}")


# The name is followed by nothing, or by the domain as in Set-Cookie.
_FORMER_COOKIE = re.compile(
    r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]{1,73})(?:;[ ]*domain=\.?(?P<domain>[a-z0-9.-]{1,253}))?",
    re.IGNORECASE,
)


def _check_former(items: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Return each item as ``name`` or ``name; Domain=domain``.

    Cookies of the current settings are refused: responses would set and delete them.
    """
    former: list[str] = []
    for item in items:
        match = _FORMER_COOKIE.fullmatch(item)
        if match is None:
            raise ValueError
        name, domain = match["name"], (match["domain"] or "").lower()
        public = Origin.parse(_earlier(info, "public_url") or "")
        if domain and (public is None or name.startswith("__Host-") or not _is_domain_of(public, domain)):
            refuse(
                "a domain must be the host of DESCOPE_PUBLIC_URL or a parent domain of it;"
                " a __Host- cookie has none"
            )
        if domain == (_earlier(info, "cookie_domain") or "") and _is_current_name(name, info):
            refuse("lists a cookie that the current settings use")
        former.append(f"{name}; Domain={domain}" if domain else name)
    return tuple(dict.fromkeys(former))


def _is_current_name(name: str, info: ValidationInfo) -> bool:
    prefix = _earlier(info, "cookie_prefix") or ""
    names = (_earlier(info, f"{token}_cookie_name") or "" for token in ("session", "refresh"))
    return any(_share_names(name, prefix + each) for each in names)


def _share_names(one: str, other: str) -> bool:
    """Return whether two names are equal, or one looks like a chunk of the other: ``name.0``."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _check_unprefixed(name: str) -> str:
    if name.lower().startswith(("__host-", "__secure-")):
        refuse("expected a name without prefix; set DESCOPE_COOKIE_PREFIX")
    return name


def _check_distinct(name: str, info: ValidationInfo) -> str:
    """Check that neither cookie name looks like a chunk of the other."""
    session = _earlier(info, "session_cookie_name") or ""
    if _share_names(name, session):
        refuse("expected a name that differs from DESCOPE_SESSION_COOKIE_NAME, also before the first dot")
    # Descope's own names: they are the token kinds in the claims of most projects (KD-03).
    if session == "DSR" or name == "DS":
        refuse("DS is reserved for the session cookie, and DSR for the refresh cookie")
    return name


Text = Annotated[str, Field(min_length=1)]
Items = Annotated[
    Coerced[Sequence[str], tuple[Text, ...]], NoDecode, BeforeValidator(_split_items), MAY_BE_BLANK
]
LoginMethods = Annotated[Items, AfterValidator(_login_methods)]
ProjectId = Annotated[str, Field(pattern=PROJECT_ID.pattern)]
# Every number has bounds, here or where a setting declares it (ST-07).
Whole = Annotated[int, BeforeValidator(_refuse_bool)]
Timeout = Annotated[float, BeforeValidator(_refuse_bool), Field(gt=0, le=60, allow_inf_nan=False)]
ApiOrigin = Annotated[str, AfterValidator(_api_origin)]
PublicOrigin = Annotated[str, AfterValidator(_public_origin)]
TrustedOrigins = Annotated[Items, AfterValidator(_normalise_origins)]
Resource = Annotated[str, AfterValidator(_resource)]
PathSegment = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
LocalPath = Annotated[str, Field(pattern="^/[!-~]{0,2047}$"), AfterValidator(_local_path)]
TenantHint = Annotated[str, Field(pattern=TENANT_HINT_PATTERN)]
HeaderSecret = Annotated[
    Coerced[SecretStr | str | None, Annotated[SecretStr, AfterValidator(_header_secret)] | None], NoDecode
]
WebhookSecret = Annotated[
    Coerced[SecretStr | str | None, Annotated[SecretStr, AfterValidator(_webhook_secret)] | None], NoDecode
]
RedisUrl = Annotated[
    Coerced[SecretStr | str | None, Annotated[SecretStr, AfterValidator(_redis_url)] | None], NoDecode
]
CookieSecure = Annotated[bool | None, BeforeValidator(_none_for_auto), AfterValidator(_check_secure)]
CookieSameSite = Annotated[SameSite, BeforeValidator(_lower), AfterValidator(_check_samesite)]
CookiePrefix = Annotated[
    Coerced[PrefixOrAuto, Prefix],
    NoDecode,
    BeforeValidator(_prefix_for_auto),
    AfterValidator(_check_prefix),
    MAY_BE_BLANK,
]
CookieDomain = Annotated[str, AfterValidator(_check_domain)]
CookieName = Annotated[
    str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$"), AfterValidator(_check_unprefixed)
]
RefreshCookieName = Annotated[CookieName, AfterValidator(_check_distinct)]
FormerCookies = Annotated[Items, AfterValidator(_check_former)]
