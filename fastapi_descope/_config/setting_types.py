"""What a setting may look like: types that check and normalise, and never repeat the value.

A check that fails with a plain ``ValueError`` is explained by the setting's description; ``refuse`` gives
a sentence of its own, where that tells more. A setting sees those declared before it through
``ValidationInfo``, so a contradiction is reported on the later of the two (ST-06).
"""

import re
from typing import Annotated, Literal, Never

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from .origin import Origin
from .tenant_hint import TENANT_HINT_PATTERN

__all__ = [
    "PROJECT_ID",
    "REFUSED",
    "ApiOrigin",
    "CookieDomain",
    "CookieName",
    "CookiePrefix",
    "CookieSameSite",
    "CookieSecure",
    "Items",
    "OwnPath",
    "Prefix",
    "ProjectId",
    "PublicOrigin",
    "RedisUrl",
    "RefreshCookieName",
    "SameSite",
    "TenantHint",
    "Text",
    "Timeout",
    "TrustedOrigins",
    "VisibleSecret",
    "Whole",
    "refuse",
]

REFUSED = "descope_refused"
"""The type of pydantic errors whose message is one of our sentences."""

PROJECT_ID = re.compile("^P[A-Za-z0-9]{20,64}$")
"""The grammar of a Descope project id. Match with ``fullmatch``."""

Prefix = Literal["", "__Host-", "__Secure-"]
SameSite = Literal["lax", "strict", "none"]

# A dot, slash, backslash, percent sign or NUL in disguise: what a proxy or browser may undo (RT).
_DISGUISED = re.compile(r"%(?:2[ef5]|5c|00)", re.IGNORECASE)


def refuse(reason: str) -> Never:
    """Refuse a value with a sentence that does not hold it (ST-05)."""
    raise PydanticCustomError(REFUSED, "{reason}", {"reason": reason})


def _number(value: object) -> object:
    if isinstance(value, bool):
        refuse("expected a number, not true or false")
    return value


def _auto(value: object) -> object:
    return None if isinstance(value, str) and value.lower() == "auto" else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _items(value: object) -> object:
    """Commas separate the items of a list, as in the environment."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",")) if value.strip() else ()
    return value


def _origin(text: str) -> Origin:
    """The origin that ``text`` spells: https, or http on this machine."""
    origin = Origin.parse(text)
    if origin is None:
        raise ValueError
    if origin.scheme == "http" and not origin.is_loopback:
        refuse("plain http is for localhost, 127.0.0.1 and [::1] only; use https")
    return origin


def _trusted(items: tuple[str, ...]) -> tuple[str, ...]:
    # A value that is no origin would be compared with headers, and match none of them (CS-07).
    return tuple(dict.fromkeys(str(_origin(item)) for item in items))


def _api(text: str) -> str:
    """Any host may be Descope's API, because custom domains exist: only the form is checked (ST-01)."""
    origin = _origin(text.removesuffix("/"))
    if origin.is_address and not origin.is_loopback:
        refuse("expected the name of a host, not its IP address")
    return str(origin)


def _public(text: str) -> str:
    if re.match(r"https?://[^/?#]+/[^?#]", text, re.IGNORECASE):
        refuse(
            "expected an origin without a path, such as https://app.example.com; a path that a proxy"
            " adds belongs into the root path (uvicorn --root-path)"
        )
    return str(_origin(text.removesuffix("/")))


def _visible(secret: SecretStr) -> SecretStr:
    """Visible ASCII, because it travels in a header (wire contract 1.4)."""
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError
    return secret


_REDIS_HOST = r"(?:\[[^\]]+\]|[^/?#:@\[]+)"
_REDIS_URL = re.compile(
    rf"(?=[!-~]+\Z)(?:rediss?://(?:[^/?#@]*@)?{_REDIS_HOST}(?::[^/?#@]*)?(?:[/?#].*)?|unix://.+)"
)


def _redis(url: SecretStr) -> SecretStr:
    if not _REDIS_URL.fullmatch(url.get_secret_value()):
        raise ValueError
    return url


def _own_path(path: str) -> str:
    """A path of this app that no browser can read as another site (requirements 2.5)."""
    segments = path.partition("?")[0].split("/")
    if "//" in path or "\\" in path or {".", ".."} & set(segments) or _DISGUISED.search(path):
        raise ValueError
    return path


def _known(info: ValidationInfo, name: str) -> str | None:
    """An earlier setting, or None also if it was refused."""
    value: object = info.data.get(name)
    return value if isinstance(value, str) else None


def _insecure(info: ValidationInfo) -> bool:
    """Whether the cookies will lack ``Secure``, as far as the settings tell."""
    secure: object = info.data.get("cookie_secure")
    if secure is None:
        return (_known(info, "public_url") or "").startswith("http:")
    return not secure


def _secure(secure: bool | None, info: ValidationInfo) -> bool | None:  # noqa: FBT001 - pydantic calls it
    if secure is False and (_known(info, "public_url") or "").startswith("https:"):
        refuse("false contradicts DESCOPE_PUBLIC_URL, which is https; remove it, auto is right")
    return secure


def _samesite(samesite: SameSite, info: ValidationInfo) -> SameSite:
    if samesite == "none" and _insecure(info):
        refuse("browsers drop SameSite=None without Secure; DESCOPE_COOKIE_SECURE=true sets it")
    return samesite


def _prefix(prefix: Prefix, info: ValidationInfo) -> Prefix:
    if prefix and _insecure(info):
        refuse("browsers drop prefixed cookies without Secure; DESCOPE_COOKIE_SECURE=true sets it")
    return prefix


def _domain(text: str, info: ValidationInfo) -> str:
    """A parent domain of the public host, or that host itself (RFC 6265, section 5.1.3)."""
    domain = text.lower().removeprefix(".")
    public = Origin.parse(_known(info, "public_url") or "")
    if _known(info, "cookie_prefix") == "__Host-":
        refuse("__Host- cookies have no domain; use DESCOPE_COOKIE_PREFIX=__Secure- or drop this")
    if public is None:
        refuse("only works with DESCOPE_PUBLIC_URL, whose host it must be or contain")
    if public.is_address or "." not in domain or not f".{public.host}".endswith(f".{domain}"):
        refuse("expected the host of DESCOPE_PUBLIC_URL or a parent domain of it, below the top level")
    return domain


def _unprefixed(name: str) -> str:
    if name.lower().startswith(("__host-", "__secure-")):
        refuse("leave the prefix to DESCOPE_COOKIE_PREFIX")
    return name


def _distinct(name: str, info: ValidationInfo) -> str:
    """Chunks of a long cookie are called ``name.0``, so neither may look like a chunk of the other."""
    session = _known(info, "session_cookie_name") or ""
    if name == session or name.startswith(f"{session}.") or session.startswith(f"{name}."):
        refuse("expected another name than DESCOPE_SESSION_COOKIE_NAME, also up to the first dot")
    if (
        session == "DSR" or name == "DS"
    ):  # what tokens call themselves in projects that rename nothing (KD-03)
        refuse("DS is the name of session tokens alone, and DSR that of refresh tokens")
    return name


Text = Annotated[str, Field(min_length=1)]
Items = Annotated[tuple[Text, ...], NoDecode, BeforeValidator(_items)]
# It becomes part of paths and of issuers (ST-02).
ProjectId = Annotated[str, Field(pattern=PROJECT_ID.pattern)]
# Numbers have bounds wherever settings use them (ST-07).
Whole = Annotated[int, BeforeValidator(_number)]
Timeout = Annotated[float, BeforeValidator(_number), Field(gt=0, le=60, allow_inf_nan=False)]
ApiOrigin = Annotated[str, AfterValidator(_api)]
PublicOrigin = Annotated[str, AfterValidator(_public)]
TrustedOrigins = Annotated[Items, AfterValidator(_trusted)]
OwnPath = Annotated[str, Field(pattern="^/[!-~]{0,2047}$"), AfterValidator(_own_path)]
TenantHint = Annotated[str, Field(pattern=TENANT_HINT_PATTERN)]
VisibleSecret = Annotated[SecretStr, AfterValidator(_visible)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis)]
CookieSecure = Annotated[bool | None, BeforeValidator(_auto), AfterValidator(_secure)]
CookieSameSite = Annotated[SameSite, BeforeValidator(_lower), AfterValidator(_samesite)]
CookiePrefix = Annotated[Prefix, AfterValidator(_prefix)]
CookieDomain = Annotated[str, AfterValidator(_domain)]
CookieName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$"), AfterValidator(_unprefixed)]
RefreshCookieName = Annotated[CookieName, AfterValidator(_distinct)]
