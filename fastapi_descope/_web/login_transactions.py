"""Pending logins: the cookies that bind a callback to the browser in which the login started.

Each login has a random state. The state travels to Descope and back in a URL, and its hash is kept in a
cookie of the browser. A callback is accepted only if both match (RFC 9700, section 4.7; CB-01, CB-02). The
app needs no key: only the browser's own user can write the cookie. Over https the cookie name starts with
``__Host-``, so that sibling domains cannot write it either.

The cookie also has a random secret, which is in no URL. Only a browser that has it can repeat its callback:
for one minute after a success, the cookie stays and is marked as used (CB-04).

The state of an nOTP sign-in stays in the page that polls for its session. Its cookie also has the pending
reference, which no script can read (NP-01, NP-02).
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex, token_urlsafe
from typing import ClassVar, Self

from .._encoding import base64url_decode, base64url_encode, is_canonical_base64url
from ..events import LoginMethod
from .cookies import CookieAttributes
from .credentials import Headers, cookie_pairs
from .redirects import MAX_RETURN_TO

__all__ = ["LoginTransactions", "Transaction"]

# Seconds by which the clocks of two hosts behind one load balancer may differ.
_MAX_SKEW = 60
# The app never sets more of these cookies than this. The rest is ignored.
_MAX_STORED = 20

_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
_SUFFIX = re.compile(rb"[0-9a-f]{16}")
# Hash and time, secret, method and marks, and three texts in base64url.
_VALUE = re.compile(
    rb"([A-Za-z0-9_-]{43})\.([0-9]{1,15})\.([A-Za-z0-9_-]{43})\.([oln]?)(s?m?u?)"
    rb"\.([A-Za-z0-9_-]{0,1366})\.([A-Za-z0-9_-]{0,342})\.([A-Za-z0-9_-]{0,1366})"
)


_METHODS: Mapping[bytes, LoginMethod] = {b"": "sso", b"o": "oauth", b"l": "magiclink", b"n": "notp"}
_METHOD_MARKS: Mapping[str, str] = {method: mark.decode("ascii") for mark, method in _METHODS.items()}


def _decoded(text: bytes) -> str | None:
    """Return the ASCII text that ``text`` encodes, or None if it is not canonical base64url of ASCII."""
    if text and not is_canonical_base64url(text):
        return None
    data = base64url_decode(text)
    return data.decode("ascii") if data.isascii() else None


def _hash(state: str) -> str:
    return base64url_encode(sha256(state.encode("ascii")).digest())


@dataclass(frozen=True, slots=True)
class Transaction:
    """A login that is pending, or was completed less than a minute ago.

    The values come from a cookie, so ``return_to`` and ``tenant`` must be validated again before they are
    used.

    Attributes:
        state_hash: The hash of the state.
        return_to: Where the login ends; "" for the landing page.
        started_at: When it started, in milliseconds since the epoch. When it was completed, if it is used.
        pending_ref: The pending reference of an nOTP sign-in, else "".
        method: The way to sign in: each has a route of its own at which the login is completed.
        secret: A random text that only this cookie has.
        tenant: The tenant that the browser asked for, or "".
        step_up: Whether a step-up was asked for.
        mfa: Whether a second factor was asked for.
        used: Whether it was completed.
    """

    # CB-10: validated again in the callback.
    state_hash: str = field(repr=False)
    return_to: str = field(repr=False)
    started_at: int
    pending_ref: str = field(default="", repr=False)
    method: LoginMethod = "sso"
    secret: str = field(default_factory=lambda: token_urlsafe(32), repr=False)
    tenant: str = field(default="", repr=False)
    step_up: bool = False
    mfa: bool = False
    used: bool = False

    @property
    def value(self) -> str:
        """The cookie value: ``hash.started_at.secret.marks.return_to.tenant.pending_ref``.

        The last three are in base64url.
        """
        marks = "".join(
            mark for mark, is_set in (("s", self.step_up), ("m", self.mfa), ("u", self.used)) if is_set
        )
        texts = (self.return_to, self.tenant, self.pending_ref)
        encoded = (base64url_encode(text.encode("ascii")) for text in texts)
        marks = _METHOD_MARKS[self.method] + marks
        return ".".join((self.state_hash, str(self.started_at), self.secret, marks, *encoded))

    @classmethod
    def parse(cls, value: bytes) -> Self | None:
        """Return the transaction of a cookie value, or None if ``value`` is not in canonical form."""
        match = _VALUE.fullmatch(value)
        if match is None:
            return None
        return_to, tenant, pending_ref = (_decoded(text) for text in match.groups()[5:])
        if return_to is None or tenant is None or pending_ref is None:
            return None
        return cls(
            state_hash=match[1].decode("ascii"),
            return_to=return_to,
            started_at=int(match[2]),
            pending_ref=pending_ref,
            secret=match[3].decode("ascii"),
            method=_METHODS[match[4]],
            tenant=tenant,
            step_up=b"s" in match[5],
            mfa=b"m" in match[5],
            used=b"u" in match[5],
        )

    def is_live(self, now: float) -> bool:
        """Return whether the login may still be completed, or repeated, at ``now`` (epoch seconds)."""
        lifetime = LoginTransactions.REPEATABLE if self.used else LoginTransactions.LIFETIME
        return -_MAX_SKEW <= now - self.started_at / 1000 <= lifetime


@dataclass(frozen=True, slots=True)
class _StoredTransaction:
    """A login cookie that the browser sent. ``transaction`` is None if its value is malformed."""

    name: str
    size: int
    transaction: Transaction | None


class _CookieSet:
    """The login cookies of one scheme, http or https."""

    def __init__(self, *, secure: bool) -> None:
        self._prefix = "__Host-descope_login_" if secure else "descope_login_"
        self.attributes = CookieAttributes.of(same_site="lax", secure=secure)

    def new_name(self) -> str:
        """Return a random name, which reveals nothing about the state."""
        return self._prefix + token_hex(8)

    def stored(self, headers: Headers) -> list[_StoredTransaction]:
        """Return the login cookies of a request, malformed ones included."""
        start = len(self._prefix)
        pairs = cookie_pairs(headers, self._prefix.encode("ascii"))
        ours = [pair for pair in pairs if _SUFFIX.fullmatch(pair[0], start)][:_MAX_STORED]
        return [
            _StoredTransaction(name.decode("ascii"), len(name) + len(value), Transaction.parse(value))
            for name, value in ours
        ]

    def matching(self, headers: Headers, state: str) -> list[tuple[str, Transaction]]:
        """Return name and content of the cookies with the hash of ``state``, expired ones included."""
        if not _STATE.fullmatch(state):
            return []
        expected = _hash(state)
        return [
            (cookie.name, cookie.transaction)
            for cookie in self.stored(headers)
            if cookie.transaction and compare_digest(cookie.transaction.state_hash, expected)
        ]


class LoginTransactions:
    """The pending logins of a browser, one cookie each.

    The cookies are always ``SameSite=Lax``, because browsers would not send a strict one when Descope
    redirects back (CK-04). They have no ``Domain``. With ``secure`` only cookies named ``__Host-`` are
    written and read, without it only the others.
    """

    LIFETIME: ClassVar[int] = 600
    """Seconds after the start of a login during which its callback is accepted."""
    REPEATABLE: ClassVar[int] = 60
    """Seconds after a success during which the same browser can repeat its callback."""
    LIMIT: ClassVar[int] = 5
    """Logins in one browser, such as one per tab. Used ones are removed first, then the oldest."""
    BUDGET: ClassVar[int] = 4_096
    """Bytes of all login cookies together, names included (CB-04). The oldest are removed."""

    def __init__(self) -> None:
        self._cookie_sets = {secure: _CookieSet(secure=secure) for secure in (False, True)}

    def start(
        self,
        headers: Headers,
        *,
        return_to: str,
        now: float,
        secure: bool,
        method: LoginMethod = "sso",
        pending_ref: str = "",
        tenant: str = "",
        step_up: bool = False,
        mfa: bool = False,
    ) -> tuple[str, list[bytes]]:
        """Return a new state of 256 bits, and the ``Set-Cookie`` values that bind it to this browser.

        They set one cookie, and delete the cookies that are expired, malformed, or beyond ``LIMIT`` and
        ``BUDGET``. A ``return_to`` over 1,024 characters or outside ASCII is stored as ``""``.
        """
        cookie_set = self._cookie_sets[secure]
        storable = return_to.isascii() and len(return_to) <= MAX_RETURN_TO
        state, name = token_urlsafe(32), cookie_set.new_name()
        value = Transaction(
            _hash(state),
            return_to if storable else "",
            int(now * 1000),
            pending_ref,
            method,
            tenant=tenant,
            step_up=step_up,
            mfa=mfa,
        ).value
        stored = cookie_set.stored(headers)
        kept = self._newest(stored, budget=self.BUDGET - len(name) - len(value), now=now)
        deleted = {cookie.name for cookie in stored} - kept
        attributes = cookie_set.attributes
        return state, [
            attributes.set_cookie(name, value, self.LIFETIME),
            *attributes.delete_cookies(deleted),
        ]

    def find(
        self,
        headers: Headers,
        *,
        state: str,
        now: float,
        secure: bool,
        methods: Container[LoginMethod] = ("sso",),
    ) -> Transaction | None:
        """Return the login with this state, pending or used, or None if this browser has none.

        Only logins of one of the ``methods`` are found (SI-02). The result is also None if two cookies
        have the state and different contents. The comparison takes constant time (CB-03).
        """
        matching = self._cookie_sets[secure].matching(headers, state)
        live = {transaction for _, transaction in matching if transaction.is_live(now)}
        found = live.pop() if len(live) == 1 else None
        return found if found is None or found.method in methods else None

    def delete(self, headers: Headers, *, state: str, secure: bool) -> list[bytes]:
        """Return the ``Set-Cookie`` values that delete the login with this state, expired or not.

        A callback that fails deletes it.
        """
        cookie_set = self._cookie_sets[secure]
        return cookie_set.attributes.delete_cookies({name for name, _ in cookie_set.matching(headers, state)})

    def mark_used(self, headers: Headers, *, state: str, now: float, secure: bool) -> list[bytes]:
        """Return the ``Set-Cookie`` values that keep the login with this state for a minute, as used."""
        cookie_set = self._cookie_sets[secure]
        return [
            cookie_set.attributes.set_cookie(
                name, replace(transaction, used=True, started_at=int(now * 1000)).value, self.REPEATABLE
            )
            for name, transaction in cookie_set.matching(headers, state)
        ]

    def used(self, headers: Headers, *, secure: bool) -> tuple[list[str], list[bytes]]:
        """Return the secrets of the used logins, and the ``Set-Cookie`` values that delete them."""
        cookie_set = self._cookie_sets[secure]
        found = [
            (cookie.name, cookie.transaction.secret)
            for cookie in cookie_set.stored(headers)
            if cookie.transaction and cookie.transaction.used
        ]
        deletions = cookie_set.attributes.delete_cookies(name for name, _ in found)
        return [secret for _, secret in found], deletions

    def _newest(self, stored: list[_StoredTransaction], *, budget: int, now: float) -> set[str]:
        """Return the names of the newest cookies that fit next to a new one. Used ones count as oldest."""
        # Of two logins that started in the same millisecond, browsers send the older one first.
        live = [
            (not cookie.transaction.used, cookie.transaction.started_at, position, cookie)
            for position, cookie in enumerate(stored)
            if cookie.transaction and cookie.transaction.is_live(now)
        ]
        kept: set[str] = set()
        for *_, cookie in sorted(live, reverse=True)[: self.LIMIT - 1]:
            budget -= cookie.size
            if budget < 0:
                break
            kept.add(cookie.name)
        return kept
