"""Logins under way: what a browser must bring back from Descope for its callback to count.

Each login has a random state. The state travels through Descope in a URL, its hash stays behind in a
cookie of this browser; a callback counts only where both meet (RFC 9700, section 4.7; CB-01, CB-02).
No secret is involved: whoever can write the cookie is the browser's own user. On https the name starts
with ``__Host-``, so that no sibling domain can write it either.
"""

import re
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from secrets import token_hex, token_urlsafe
from typing import ClassVar, Self

from .._encoding import base64url
from .cookies import CookieAttributes
from .credentials import Headers, cookie_pairs
from .redirects import MAX_RETURN_TO

__all__ = ["LoginTransactions", "Transaction"]

# Clocks of two hosts behind one load balancer may differ by this much, in seconds.
_MAX_SKEW = 60
# More of our cookies than this were not set by us; the rest is not looked at.
_MAX_HELD = 20

_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
_SUFFIX = re.compile(rb"[0-9a-f]{16}")
_VALUE = re.compile(rb"([A-Za-z0-9_-]{43})\.([0-9]{1,12})\.([A-Za-z0-9_-]{0,1366})")


def _decoded(text: bytes) -> str | None:
    """Return the ASCII text that ``text`` encodes, or None if it is not canonical base64url of ASCII."""
    if text and not base64url.is_canonical(text):
        return None
    data = base64url.decode(text)
    return data.decode("ascii") if data.isascii() else None


def _hash(state: str) -> str:
    return base64url.encode(sha256(state.encode("ascii")).digest())


@dataclass(frozen=True, slots=True)
class Transaction:
    """A login under way. ``started_at`` is in epoch seconds.

    It comes out of a cookie, so ``return_to`` has to be checked again before it is used (CB-10).
    """

    state_hash: str = field(repr=False)
    return_to: str = field(repr=False)
    started_at: int

    @property
    def value(self) -> str:
        """The cookie value: ``hash.started_at.return_to``, hash and target in base64url."""
        return f"{self.state_hash}.{self.started_at}.{base64url.encode(self.return_to.encode('ascii'))}"

    @classmethod
    def parse(cls, value: bytes) -> Self | None:
        """The transaction of a cookie value, or None if ``value`` is not spelt exactly as we do."""
        match = _VALUE.fullmatch(value)
        return_to = _decoded(match[3]) if match else None
        if match is None or return_to is None:
            return None
        return cls(match[1].decode("ascii"), return_to, int(match[2]))

    def is_live(self, now: float) -> bool:
        """Whether the login may still be completed at ``now`` (epoch seconds)."""
        return -_MAX_SKEW <= now - self.started_at <= LoginTransactions.LIFETIME


@dataclass(frozen=True, slots=True)
class _StoredTransaction:
    """A cookie of ours in the browser; no ``transaction`` if it cannot be read."""

    name: str
    size: int
    transaction: Transaction | None


class _CookieSet:
    """The cookies of all logins over one kind of connection."""

    def __init__(self, *, secure: bool) -> None:
        self._prefix = "__Host-descope_login_" if secure else "descope_login_"
        self.kind = CookieAttributes.of(same_site="lax", secure=secure)

    def new_name(self) -> str:
        """A random name, which tells nothing about the state."""
        return self._prefix + token_hex(8)

    def held(self, headers: Headers) -> list[_StoredTransaction]:
        """The cookies of this family, the broken ones too."""
        start = len(self._prefix)
        pairs = cookie_pairs(headers, self._prefix.encode("ascii"))
        ours = [pair for pair in pairs if _SUFFIX.fullmatch(pair[0], start)][:_MAX_HELD]
        return [
            _StoredTransaction(name.decode("ascii"), len(name) + len(value), Transaction.parse(value))
            for name, value in ours
        ]

    def matching(self, headers: Headers, state: str) -> list[tuple[str, Transaction]]:
        """Name and content of the cookies that hold the hash of ``state``, live or not."""
        if not _STATE.fullmatch(state):
            return []
        wanted = _hash(state)
        return [
            (held.name, held.transaction)
            for held in self.held(headers)
            if held.transaction and compare_digest(held.transaction.state_hash, wanted)
        ]


class LoginTransactions:
    """The logins that a browser has under way, one cookie each.

    The cookies are always ``SameSite=Lax``: a strict one would not come along when Descope sends the
    browser back (CK-04). They carry no ``Domain``. With ``secure`` the cookies named ``__Host-`` are the
    only ones written and read, without it the others: never both.
    """

    LIFETIME: ClassVar[int] = 600
    """Seconds from the start of a login to the last moment its callback counts."""
    LIMIT: ClassVar[int] = 5
    """Logins side by side in one browser: tabs, mostly. The oldest gives way."""
    BUDGET: ClassVar[int] = 4_096
    """Bytes of all these cookies together, names included (CB-04). The oldest give way."""

    def __init__(self) -> None:
        self._families = {secure: _CookieSet(secure=secure) for secure in (False, True)}

    def begin(self, headers: Headers, *, return_to: str, now: float, secure: bool) -> tuple[str, list[bytes]]:
        """A new state of 256 bits, and the ``Set-Cookie`` values that bind it to this browser.

        They set one cookie and delete those that are too old, broken, or beyond ``LIMIT`` and
        ``BUDGET``. A ``return_to`` over 1,024 characters, or not ASCII, is not stored: ``""`` is
        found in its place.
        """
        family = self._families[secure]
        storable = return_to.isascii() and len(return_to) <= MAX_RETURN_TO
        state, name = token_urlsafe(32), family.new_name()
        value = Transaction(_hash(state), return_to if storable else "", int(now)).value
        held = family.held(headers)
        kept = self._kept(held, budget=self.BUDGET - len(name) - len(value), now=now)
        doomed = {cookie.name for cookie in held} - kept
        return state, [family.kind.setting(name, value, self.LIFETIME), *family.kind.deletions(doomed)]

    def find(self, headers: Headers, *, state: str, now: float, secure: bool) -> Transaction | None:
        """The login that ``state`` belongs to in this browser, or None if there is none any more.

        Compares in constant time (CB-03). None also if two cookies claim the state with different
        contents.
        """
        matching = self._families[secure].matching(headers, state)
        live = {transaction for _, transaction in matching if transaction.is_live(now)}
        return live.pop() if len(live) == 1 else None

    def end(self, headers: Headers, *, state: str, secure: bool) -> list[bytes]:
        """The ``Set-Cookie`` values that delete this login's cookie, so that it counts once (CB-04).

        For success and failure alike; a login that has expired is deleted too.
        """
        family = self._families[secure]
        return family.kind.deletions({name for name, _ in family.matching(headers, state)})

    def _kept(self, held: list[_StoredTransaction], *, budget: int, now: float) -> set[str]:
        """The names of the newest logins that fit beside a new one."""
        live = [
            (cookie.transaction.started_at, cookie.name, cookie.size)
            for cookie in held
            if cookie.transaction and cookie.transaction.is_live(now)
        ]
        kept: set[str] = set()
        for _, name, size in sorted(live, reverse=True)[: self.LIMIT - 1]:
            budget -= size
            if budget < 0:
                break
            kept.add(name)
        return kept
