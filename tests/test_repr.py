"""The values that hold secrets can be logged: their ``repr`` shows none (LG-06)."""

import pytest

from fastapi_descope import DescopeSettings
from fastapi_descope._auth.credentials import Credentials
from fastapi_descope._auth.login import LoginRequest
from fastapi_descope._refresh.store import RefreshResult
from fastapi_descope._upstream.login_options import LoginOptions, LoginParams
from fastapi_descope._upstream.responses import ApiResponse, NotpStart, TokenResponse
from fastapi_descope._web.login_transactions import Transaction
from fastapi_descope.session import AuthSession, RefreshToken, TokenPair, User

CANARY = "canary"

_SESSION = AuthSession(User("U2ada", claims={"email": CANARY}), None, {}, 1000, 1600)

VALUES: tuple[object, ...] = (
    Credentials(bearer=CANARY, session=CANARY, refresh=CANARY, refresh_rivals=(CANARY,)),
    ApiResponse(200, CANARY.encode(), set_cookies=(CANARY,)),
    TokenResponse(CANARY, CANARY, fields={"sessionJwt": CANARY}),
    NotpStart(CANARY, CANARY),
    RefreshResult(session_jwt=CANARY, refresh_jwt=CANARY),
    LoginRequest(tenant=CANARY, redirect_url=CANARY),
    LoginOptions(custom_claims={"name": CANARY}, template_options={"name": CANARY}),
    LoginParams(login_hint=CANARY),
    Transaction(CANARY, CANARY, 0, pending_ref=CANARY, secret=CANARY, tenant=CANARY),
    TokenPair(CANARY, _SESSION, RefreshToken(CANARY, "U2ada", 1000, 1600)),
    DescopeSettings(project_id="P" + "a" * 27, default_tenant=f"ada@{CANARY}.example"),
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_lg06_repr_of_a_value_contains_no_secret(value: object) -> None:
    """Neither tokens and states nor addresses."""
    assert CANARY not in repr(value)
