"""A sign-in under way: from the start of SSO to the exchange of its code."""

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar, cast

from .arguments import flag
from .project import Tenant, User
from .refusals import Refusal

__all__ = ["Login", "LoginOptions", "Logins", "SignedIn"]

_PAGE_SECONDS = 600
_CODE_SECONDS = 120  # Descope's own lifetime of a code is unknown; OAuth advises minutes (RFC 6749, 4.1.2)

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """What the application asks of a sign-in (wire contract, section 2.1). Other options have no effect."""

    stepup: bool = False
    mfa: bool = False
    custom_claims: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    revoke_others: bool = False

    @classmethod
    def from_body(cls, body: dict[str, object]) -> "LoginOptions":
        """The options in a request body. Raises Refusal if one has the wrong type."""
        claims = body.get("customClaims")
        if claims is not None and not isinstance(claims, dict):
            raise Refusal.invalid("customClaims must be an object")
        return cls(
            stepup=flag(body, "stepup"),
            mfa=flag(body, "mfa"),
            custom_claims=cast("dict[str, object]", claims or {}),
            revoke_others=flag(body, "revokeOtherSessions"),
        )


@dataclass(frozen=True, slots=True)
class Login:
    """What the application asked for when it started SSO.

    ``user_id`` is set for step-up and MFA: nobody else may confirm those. ``form_token`` ties the answer
    to the page that was shown.
    """

    tenant: Tenant
    redirect_url: str = field(repr=False)
    options: LoginOptions = field(default_factory=LoginOptions)
    login_hint: str = field(default="", repr=False)
    sso_id: str = ""
    user_id: str | None = None
    amr: tuple[str, ...] = ()
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def confirmed_by(self, user_id: str, amr: tuple[str, ...]) -> "Login":
        """The same sign-in, for this user alone, who has proved ``amr`` before."""
        return replace(self, user_id=user_id, amr=amr)

    def is_from_page(self, form_token: str) -> bool:
        """Whether a posted form holds the token of this sign-in's own page."""
        return hmac.compare_digest(self.form_token.encode(), form_token.encode())


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that somebody confirmed on the page, waiting for its code to be exchanged."""

    login: Login
    user: User


class _Slips(Generic[_Value]):
    """Values under unguessable one-time names, forgotten after a while."""

    def __init__(self, clock: Callable[[], float], seconds: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._values: dict[str, tuple[float, _Value]] = {}

    def put(self, value: _Value) -> str:
        now = self._clock()
        while self._values and next(iter(self._values.values()))[0] <= now:
            del self._values[next(iter(self._values))]  # the oldest come first
        name = secrets.token_urlsafe(32)
        self._values[name] = (now + self._seconds, value)
        return name

    def get(self, name: str) -> _Value | None:
        ends_at, value = self._values.get(name, (0.0, None))
        return value if self._clock() < ends_at else None

    def take(self, name: str) -> _Value | None:
        value = self.get(name)
        self._values.pop(name, None)
        return value


class Logins:
    """The pages that are open, and the codes that wait for their exchange. Both are used once.

    A page lives 10 minutes, a code 2: our choice, for Descope's figures are unknown.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._pages = _Slips[Login](clock, _PAGE_SECONDS)
        self._codes = _Slips[SignedIn](clock, _CODE_SECONDS)

    def begin(self, login: Login) -> str:
        """Open a sign-in page; the answer is its unguessable id."""
        return self._pages.put(login)

    def find(self, page: str) -> Login | None:
        """The sign-in of an open page, or None."""
        return self._pages.get(page)

    def end(self, page: str) -> None:
        """Close a page: it was answered."""
        self._pages.take(page)

    def confirm(self, login: Login, user: User) -> str:
        """The one-time code for a sign-in that this user confirmed."""
        return self._codes.put(SignedIn(login, user))

    def redeem(self, code: str) -> SignedIn | None:
        """What the code stands for, the first time it is asked; None ever after."""
        return self._codes.take(code)
