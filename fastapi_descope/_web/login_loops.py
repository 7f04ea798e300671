"""Stop login loops: a cookie that has a hash of what the last login was asked for.

A browser that has just signed in and still lacks what it signed in for would be sent to the same login again
and again, for example because it does not keep the session cookie, or because Descope grants no step-up
(CB-18).
"""

import re

from starlette.types import Scope

from .._upstream.login_options import LoginParams
from .cookies import SessionCookies
from .marker_cookie import MarkerCookie, marker_hash

__all__ = ["MARKER", "LoginLoops"]

_VALUE = re.compile(rb"[A-Za-z0-9_-]{22}(?:\.[A-Za-z0-9_-]{22}){0,3}")

_NAME = "descope_asked"

MARKER = f"{_NAME}=".encode("ascii")
"""A part of the cookie's name that each Cookie header with the marker has."""


class LoginLoops:
    """The marker of completed logins. It lives for a minute, and any success deletes it."""

    def __init__(self, cookies: SessionCookies) -> None:
        self._cookie = MarkerCookie(_NAME, cookies)

    def mark(self, scope: Scope, params: LoginParams, return_to: str) -> list[bytes]:
        """Return the ``Set-Cookie`` values that record a completed login.

        A loop of two logins, each of which loses what the other one was asked for, is one too. So up to four
        are recorded.
        """
        asked = [_hash(params, return_to)]
        asked += [each for each in self._marked(scope) if each not in asked][:3]
        return self._cookie.set(scope, ".".join(asked))

    def is_loop(self, scope: Scope, params: LoginParams, return_to: str) -> bool:
        """Return whether a login that was completed a moment ago was asked for the same."""
        return _hash(params, return_to) in self._marked(scope)

    def clear(self, scope: Scope) -> list[bytes]:
        """Return the ``Set-Cookie`` values that delete the marker."""
        return self._cookie.delete(scope)

    def _marked(self, scope: Scope) -> list[str]:
        values = self._cookie.values(scope)
        if len(values) != 1 or not _VALUE.fullmatch(values[0]):
            return []
        return values[0].decode("ascii").split(".")


def _hash(params: LoginParams, return_to: str) -> str:
    # The browser does not send a fragment, so a request does not show it.
    asked = f"{params.step_up is not None} {params.mfa is not None} {return_to.partition('#')[0]}"
    return marker_hash(asked.encode())
