"""The types of settings: they check and normalise a value, and never repeat it in an error.

An error that is a plain ``ValueError`` is reported with the setting's description; ``refuse`` gives a more
precise reason. A check sees the settings declared before its own through ``ValidationInfo``, so a
contradiction is reported for the later of two settings.
"""

# ST-05: errors contain no value. ST-06: contradictory settings are refused.

import re
from collections.abc import Sequence
from typing import Annotated, Generic, Never, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, SecretStr, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_settings import NoDecode

from .login_methods import is_login_method
from .origin import Origin
from .tenant_hint import TENANT_HINT_PATTERN

__all__ = [
    "BEARER_PART",
    "MAY_BE_BLANK",
    "PROJECT_ID",
    "REFUSED",
    "ApiOrigin",
    "Coerced",
    "HeaderSecret",
    "Items",
    "LocalPath",
    "LoginMethods",
    "PathSegment",
    "ProjectId",
    "PublicOrigin",
    "RedisUrl",
    "Resource",
    "TenantHint",
    "Text",
    "Timeout",
    "TrustedOrigins",
    "WebhookSecret",
    "Whole",
    "earlier",
    "refuse",
]

REFUSED = "descope_refused"
"""The type of pydantic errors whose message comes from ``refuse``."""

MAY_BE_BLANK = "may be blank"
"""Marks the type of a setting that may be an empty string."""

PROJECT_ID = re.compile("^P[A-Za-z0-9]{20,64}$")
"""The grammar of a Descope project id. Match with ``fullmatch``."""

BEARER_PART = re.compile(r"[!-9;-~]+")
"""The grammar of a secret in the bearer of a call to Descope: visible ASCII without the colon.

The colon separates the parts of that bearer (wire contract 1.4). Match with ``fullmatch``.
"""

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


def earlier(info: ValidationInfo, name: str) -> str | None:
    """Return the value of a setting declared earlier, or None if it is unset or wrong."""
    value: object = info.data.get(name)
    return value if isinstance(value, str) else None


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        refuse("expected a number, not true or false")
    return value


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
    if not BEARER_PART.fullmatch(secret.get_secret_value()):
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
    if set(items) == {"flow"} and earlier(info, "login_path") is None:
        refuse("flow alone needs DESCOPE_LOGIN_PATH, the page of the app that shows the flow")
    return tuple(dict.fromkeys(items))


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
