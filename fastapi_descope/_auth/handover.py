"""Sessions that begin with tokens which the app or its page already holds."""

from .._refresh.coordinator import RefreshCoordinator
from .._refresh.outcome import Ended, Renewed, TooLarge
from ..errors import (
    ConflictingCookies,
    LoginRejected,
    NotAuthenticated,
    SessionEnded,
    SessionTooLarge,
    TokenExpired,
    UpstreamUnavailable,
)
from ..events import EventBus, LoginFailed, LoginMethod
from ..login import Login
from ..page_texts import ENGLISH
from ..session import AuthSession, TokenPair
from .authenticator import Authenticator
from .browser_tokens import BrowserTokens
from .credentials import Credentials
from .login import Admission, LoginFlow

__all__ = ["SessionHandover"]


class SessionHandover:
    """Starts sessions from tokens. Holds no state."""

    def __init__(
        self,
        authenticator: Authenticator,
        browser_tokens: BrowserTokens,
        coordinator: RefreshCoordinator,
        login_flow: LoginFlow,
        events: EventBus,
    ) -> None:
        self._authenticator = authenticator
        self._browser_tokens = browser_tokens
        self._coordinator = coordinator
        self._login_flow = login_flow
        self._events = events

    # HO-02, HO-03: tokens can be genuine and belong to a session that has ended, so Descope is asked.
    async def accept(
        self,
        refresh_jwt: str,
        admit: Admission,
        *,
        session_jwt: str | None = None,
        method: LoginMethod,
    ) -> TokenPair:
        """Return new tokens for a refresh token if ``admit`` returns. One call to Descope.

        Args:
            refresh_jwt: The refresh token.
            admit: The app's decision.
            session_jwt: The session token that belongs to it, if it has to be checked too.
            method: The way to sign in, for the event.

        Raises:
            LoginRejected: A token is invalid or of another kind, they belong to two users, or the session
                has ended.
            SessionTooLarge: The new tokens do not fit into cookies.
            UpstreamUnavailable: Descope cannot be reached, or its response is invalid.
            Forbidden: An ``on_session`` hook refuses the user.
            SessionCheckFailed: An ``on_session`` hook failed.
            Exception: Whatever ``admit`` raises.
        """
        credentials = Credentials(refresh=refresh_jwt, session=session_jwt)
        try:
            token = await self._browser_tokens.require_refresh_token(credentials)
            session = await self._authenticator.verify_session_cookie(session_jwt)
        except SessionEnded:
            raise self._rejected("session_ended") from None
        except (NotAuthenticated, ConflictingCookies):
            raise self._rejected("tokens") from None
        if session_jwt is not None and not isinstance(session, AuthSession):
            raise self._rejected("session_ended" if isinstance(session, TokenExpired) else "tokens")
        outcome = await self._coordinator.refresh(token)
        if isinstance(outcome, Ended):
            raise self._rejected("session_ended")
        if isinstance(outcome, Renewed):
            login = Login.from_response(outcome.pair.session, {})
            return await self._login_flow.admit(outcome.pair, login, admit, method=method)
        error = (
            SessionTooLarge() if isinstance(outcome, TooLarge) else UpstreamUnavailable(outcome.retry_after)
        )
        self._events.emit(LoginFailed(error.code))
        raise error

    def _rejected(self, reason: str) -> LoginRejected:
        self._events.emit(LoginFailed(reason))
        return LoginRejected(ENGLISH.login_over, reason=reason)
