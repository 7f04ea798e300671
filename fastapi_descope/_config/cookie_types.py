"""The types of the settings of cookies, which depend on each other and on the public URL."""

# ST-06: contradictory settings are refused.

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_settings import NoDecode

from .origin import Origin
from .setting_types import MAY_BE_BLANK, Coerced, Items, earlier, refuse

__all__ = [
    "CookieDomain",
    "CookieName",
    "CookiePrefix",
    "CookieSameSite",
    "CookieSecure",
    "FormerCookies",
    "Prefix",
    "RefreshCookieName",
    "SameSite",
]

Prefix = Literal["", "__Host-", "__Secure-"]
PrefixOrAuto = Literal["auto", "", "__Host-", "__Secure-"]
SameSite = Literal["lax", "strict", "none"]


def _none_for_auto(value: object) -> object:
    return None if isinstance(value, str) and value.lower() == "auto" else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _is_insecure(info: ValidationInfo) -> bool:
    """Return whether the settings leave the cookies without ``Secure``."""
    secure: object = info.data.get("cookie_secure")
    if secure is None:
        return (earlier(info, "public_url") or "").startswith("http:")
    return not secure


def _check_secure(secure: bool | None, info: ValidationInfo) -> bool | None:  # noqa: FBT001 - pydantic calls it
    if secure is False and (earlier(info, "public_url") or "").startswith("https:"):
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
    is_https = (earlier(info, "public_url") or "").startswith("https:")
    if not (is_https or info.data.get("cookie_secure")):
        return ""
    return "__Secure-" if earlier(info, "cookie_domain") else "__Host-"


def _check_prefix(prefix: Prefix, info: ValidationInfo) -> Prefix:
    if prefix and _is_insecure(info):
        refuse("browsers reject prefixed cookies without Secure; set DESCOPE_COOKIE_SECURE=true")
    if prefix == "__Host-" and earlier(info, "cookie_domain"):
        refuse("__Host- cookies have no domain; remove this setting or DESCOPE_COOKIE_DOMAIN")
    return prefix


def _check_domain(text: str, info: ValidationInfo) -> str:
    """Check that the public host receives the cookies of the domain."""
    domain = text.lower().removeprefix(".")
    public = Origin.parse(earlier(info, "public_url") or "")
    if public is None:
        refuse("requires DESCOPE_PUBLIC_URL, whose host it must be or contain")
    if not public.domain_matches(domain):
        refuse("expected the host of DESCOPE_PUBLIC_URL or a parent domain of it, but no top-level domain")
    return domain


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
        public = Origin.parse(earlier(info, "public_url") or "")
        if domain and (public is None or name.startswith("__Host-") or not public.domain_matches(domain)):
            refuse(
                "a domain must be the host of DESCOPE_PUBLIC_URL or a parent domain of it;"
                " a __Host- cookie has none"
            )
        if domain == (earlier(info, "cookie_domain") or "") and _is_current_name(name, info):
            refuse("lists a cookie that the current settings use")
        former.append(f"{name}; Domain={domain}" if domain else name)
    return tuple(dict.fromkeys(former))


def _is_current_name(name: str, info: ValidationInfo) -> bool:
    prefix = earlier(info, "cookie_prefix") or ""
    names = (earlier(info, f"{token}_cookie_name") or "" for token in ("session", "refresh"))
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
    session = earlier(info, "session_cookie_name") or ""
    if _share_names(name, session):
        refuse("expected a name that differs from DESCOPE_SESSION_COOKIE_NAME, also before the first dot")
    # Descope's own names: they are the token kinds in the claims of most projects (KD-03).
    if session == "DSR" or name == "DS":
        refuse("DS is reserved for the session cookie, and DSR for the refresh cookie")
    return name


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
