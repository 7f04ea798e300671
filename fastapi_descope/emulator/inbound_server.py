"""The authorization server of inbound apps without HTTP: it issues, refreshes and revokes their tokens."""

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from .api_errors import OAuthError
from .auth_server import AuthServer
from .consents import Consent, Consents
from .directory import SeedUser
from .inbound_apps import InboundApp
from .inbound_tokens import InboundClaims, InboundGrant
from .project import Project
from .token_families import EndReason, RefreshTokenRecord, TokenFamilies, TokenFamily

__all__ = ["InboundServer", "InboundTokens", "TokenRequest"]


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What every grant of the token endpoint has in common.

    Attributes:
        app: The authenticated app.
        base_url: The origin in the issuer.
        scopes: The requested scopes; empty for all that were granted.
        resource: The requested audience; empty for all that were granted.
    """

    app: InboundApp
    base_url: str
    scopes: tuple[str, ...] = ()
    resource: str = ""


@dataclass(frozen=True, slots=True)
class InboundTokens:
    """The tokens of a response of the token endpoint.

    Attributes:
        access_token: The access token.
        grant: The access that it gives.
        seconds: Its lifetime.
        refresh_token: The refresh token; empty if the app acts for itself.
        id_token: The ID token; empty without the scope ``openid``.
    """

    access_token: str = field(repr=False)
    grant: InboundGrant
    seconds: int
    refresh_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)


class InboundServer:
    """The tokens and consents of inbound apps. It shares the project and the keys of ``auth_server``.

    Its token families are its own: the logout of a user does not end them. No method awaits, so each is
    atomic within its event loop.
    """

    def __init__(self, auth_server: AuthServer, clock: Callable[[], float]) -> None:
        self._auth_server = auth_server
        self._clock = clock
        self._families = TokenFamilies()
        self._consents = Consents()

    def register(self, app: InboundApp) -> None:
        """Add an app to the project."""
        self._auth_server.project = replace(self._project, inbound_apps=(*self._project.inbound_apps, app))

    def authenticate(self, client_id: str, secret: str) -> InboundApp:
        """Return the app with this id. A public client sends no secret. Compares in constant time.

        Raises:
            OAuthError: The app is unknown, or the secret is not its own (``invalid_client``).
        """
        app = self._project.find_inbound_app(client_id)
        if app is None or not hmac.compare_digest(app.secret.encode(), secret.encode()):
            raise OAuthError("invalid_client", "The client is unknown, or its secret is wrong")
        return app

    def record_consent(self, grant: InboundGrant, user: SeedUser) -> None:
        """Record that a user has consented to a grant."""
        self._consents.grant(grant.client_id, user.user_id, grant.scopes, int(self._clock()))

    def consents(self) -> tuple[Consent, ...]:
        """Return the current consents, oldest first."""
        return tuple(self._consents)

    def withdraw_consent(self, client_id: str, user_id: str) -> bool:
        """Remove a consent and end its token families. Access tokens stay valid until they expire.

        Returns False if there is no such consent.
        """
        for family in self._families.active(self._clock()):
            if family.grant is not None and (family.grant.client_id, family.user_id) == (client_id, user_id):
                family.end_reason = EndReason.LOGOUT
        return self._consents.withdraw(client_id, user_id)

    def start(self, request: TokenRequest, grant: InboundGrant, user_id: str) -> InboundTokens:
        """Start a token family for a user who has consented, and issue its first tokens.

        Raises:
            OAuthError: The user is gone or disabled, or has withdrawn the consent (``invalid_grant``), or the
                request asks for more than the grant (``invalid_scope``, ``invalid_target``).
        """
        user, now = self._find_user(user_id), int(self._clock())
        if (grant.client_id, user_id) not in self._consents:
            raise OAuthError("invalid_grant", "The user has withdrawn the consent")
        narrowed = self._narrow(grant, request)
        ends_at = now + request.app.refresh_seconds
        family = TokenFamily(user_id, grant.amr, started_at=now, ends_at=ends_at, last_used=now, grant=grant)
        token = self._refresh_token(request, family, grant, user)
        return self._tokens(request, narrowed, user, ends_at, token)

    def refresh(self, request: TokenRequest, token: str) -> InboundTokens:
        """Return new tokens for a refresh token, with the same refresh token or its successor.

        Raises:
            OAuthError: The token is unknown, expired, revoked, reused or another app's, or its user is gone
                or disabled (``invalid_grant``), or the request asks for more than the grant
                (``invalid_scope``, ``invalid_target``).
        """
        record, grant = self._find_live(token, request.app)
        family, user = record.family, self._find_user(record.family.user_id)
        narrowed = self._narrow(grant, request)
        family.last_used = self._clock()
        if self._project.assumptions.inbound_refresh_rotates:
            record.replaced_at = family.last_used
            token = self._refresh_token(request, family, grant, user)
        return self._tokens(request, replace(narrowed, nonce=""), user, family.ends_at, token)

    def issue_for_app(self, request: TokenRequest) -> InboundTokens:
        """Return an access token for an app that acts for itself, without a refresh token.

        Raises:
            OAuthError: The app is public (``unauthorized_client``), or asks for a scope or a resource that it
                may not ask for (``invalid_scope``, ``invalid_target``).
        """
        app = request.app
        if app.is_public:
            raise OAuthError("unauthorized_client", "A client without a secret cannot act for itself")
        own = InboundGrant(app.client_id, None, tuple(app.scopes), mcp_server=app.mcp_server)
        return self._tokens(request, self._narrow(own, request), None, None, "")

    def revoke(self, token: str, app: InboundApp) -> None:
        """End the family of a refresh token of the app. Ignores every other token (RFC 7009, section 2.2)."""
        record = self._families.find(token)
        grant = record.family.grant if record is not None else None
        if record is not None and grant is not None and grant.client_id == app.client_id:
            record.family.end_reason = EndReason.LOGOUT

    def userinfo(self, token: str) -> dict[str, object] | None:
        """Return the claims about the user of an access token, as its scopes permit; None if it is not valid.

        A token stays valid until it expires, even if its family has ended.
        """
        claims = self._auth_server.keys.verify(token)
        if claims is None or claims.get("token_type") != "access_token":
            return None
        exp, client_id, subject = claims["exp"], str(claims["azp"]), str(claims["sub"])
        user = self._project.find_user(subject)
        if not isinstance(exp, int) or self._clock() >= exp:
            return None
        grant = InboundGrant(client_id, subject, tuple(str(claims["scope"]).split()))
        return InboundClaims(self._project, self._auth_server.base_url, grant, user).userinfo_claims()

    def allowed_resources(self, app: InboundApp) -> tuple[str, ...]:
        """Return the audiences that an app may request: its own, and the URL of its MCP server."""
        server = self._project.find_mcp_server(app.mcp_server)
        return (*app.resources, *((server.url,) if server is not None else ()))

    def issue_access_token(
        self,
        grant: InboundGrant,
        user: SeedUser | None,
        *,
        seconds: int | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> str:
        """Return an access token without a sign-in and without a consent.

        Args:
            grant: The access.
            user: The user; None if the app acts for itself.
            seconds: The lifetime, if not the app's; negative for a token that has expired.
            overrides: Claims that replace the regular ones.
        """
        app = self._project.find_inbound_app(grant.client_id) or InboundApp(grant.client_id)
        now = int(self._clock())
        exp = now + (app.access_seconds if seconds is None else seconds)
        rexp = None if user is None else now + app.refresh_seconds
        claims = InboundClaims(self._project, self._auth_server.base_url, grant, user)
        access = claims.access_claims(now=min(now, exp - 1), exp=exp, rexp=rexp)
        return self._auth_server.keys.sign(access | dict(overrides or {}))

    @property
    def _project(self) -> Project:
        return self._auth_server.project

    def _find_user(self, user_id: str) -> SeedUser:
        user = self._project.find_user(user_id)
        if user is None or user.is_disabled:
            raise OAuthError("invalid_grant", "The user is gone or disabled")
        return user

    def _find_live(self, token: str, app: InboundApp) -> tuple[RefreshTokenRecord, InboundGrant]:
        """Return the record and the grant of a token that can be used. A reused one ends its family."""
        record = self._families.find(token)
        grant = record.family.grant if record is not None else None
        if record is None or grant is None or grant.client_id != app.client_id:
            raise OAuthError("invalid_grant", "The refresh token is unknown, or belongs to another client")
        family = record.family
        if record.replaced_at is not None:
            family.end_reason = EndReason.REUSE
        is_expired = self._clock() >= family.ends_at or not self._auth_server.keys.has_kid(record.kid)
        if is_expired or family.end_reason is not None:
            raise OAuthError("invalid_grant", "The refresh token has expired or was revoked")
        return record, grant

    def _narrow(self, grant: InboundGrant, request: TokenRequest) -> InboundGrant:
        """Return the part of a grant that a request asks for (RFC 6749, section 6; RFC 8707, section 2.2)."""
        if not set(request.scopes) <= set(grant.scopes):
            raise OAuthError("invalid_scope", "The request has a scope that was not granted")
        if request.resource and request.resource not in (
            grant.resources or self.allowed_resources(request.app)
        ):
            raise OAuthError("invalid_target", "The request has a resource that was not granted")
        resources = (request.resource,) if request.resource else grant.resources
        return replace(grant, scopes=request.scopes or grant.scopes, resources=resources)

    def _tokens(
        self,
        request: TokenRequest,
        grant: InboundGrant,
        user: SeedUser | None,
        rexp: int | None,
        refresh_token: str,
    ) -> InboundTokens:
        now, sign = int(self._clock()), self._auth_server.keys.sign
        exp = now + request.app.access_seconds
        if rexp is not None:
            exp = min(exp, rexp)
        claims = InboundClaims(self._project, request.base_url, grant, user)
        has_id = user is not None and "openid" in grant.scopes
        return InboundTokens(
            sign(claims.access_claims(now=now, exp=exp, rexp=rexp)),
            grant,
            exp - now,
            refresh_token,
            sign(claims.id_claims(now=now, exp=exp)) if has_id else "",
        )

    def _refresh_token(
        self, request: TokenRequest, family: TokenFamily, grant: InboundGrant, user: SeedUser
    ) -> str:
        """Return a new refresh token of a family. It holds the whole grant, whatever the request asks for."""
        now, keys = int(self._clock()), self._auth_server.keys
        builder = InboundClaims(self._project, request.base_url, grant, user)
        token = keys.sign(builder.refresh_claims(now=now, exp=family.ends_at, jti=secrets.token_hex(16)))
        self._families.add(token, RefreshTokenRecord(family, grant.tenant, keys.kid), now)
        return token
