"""Sign-ins by e-mail: Descope sends a link, and its token is verified when the user confirms it."""

from .._telemetry.log_once import LogOnce
from .._upstream.api import DescopeApi
from .._upstream.login_options import LoginOptions
from ..errors import UpstreamError, UpstreamRejected
from ..events import EventBus, LoginFailed
from .attempt_limits import AttemptLimits

__all__ = ["MagicLinkFlow"]


class MagicLinkFlow:
    """Asks Descope to send links. ``LoginFlow.complete_login`` verifies their tokens.

    Holds the times of recent e-mails.

    Args:
        api: The client of Descope.
        events: Receives ``LoginFailed``.
        limits: The limits on e-mails.
        sign_up: Whether an unknown address gets a link, which creates the user.
    """

    def __init__(self, api: DescopeApi, events: EventBus, limits: AttemptLimits, *, sign_up: bool) -> None:
        self._api = api
        self._events = events
        self._limits = limits
        self._sign_up = sign_up
        self._log = LogOnce()

    # ML-02: a refusal of Descope may say that the address is unknown.
    async def send(self, email: str, redirect_url: str, options: LoginOptions, *, client: str | None) -> None:
        """Ask Descope to send a link to an address. Returns whether or not the address is known.

        One call. In a minute one client can cause 10 e-mails, and all clients together 100.

        Args:
            email: The address.
            redirect_url: Where the link leads, with the state.
            options: The options of the app.
            client: The address of the client, if the server knows it.

        Raises:
            TooManyAttempts: The client has caused too many e-mails.
            UpstreamUnavailable: All clients together have, or the call failed.
            UpstreamError: The response is invalid.
        """
        # ML-06
        self._limits.start(self._limits.attempt(client))
        try:
            await self._api.send_magic_link(
                email=email, redirect_url=redirect_url, options=options, sign_up=self._sign_up
            )
        except UpstreamRejected as rejection:
            self._log.warning(
                f"Descope refuses to send a link (status {rejection.upstream_status}, code"
                f" {rejection.upstream_code or 'none'}). That is normal for an unknown address. If no user"
                " gets a link, enable magic links for the project, and approve"
                f" {redirect_url.partition('?')[0]}"
            )
            event = LoginFailed("link_not_sent", rejection.upstream_status, rejection.upstream_code)
            self._events.emit(event)
        except UpstreamError as error:
            self._events.emit(LoginFailed(error.code))
            raise
