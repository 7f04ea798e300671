"""Behaviour of Descope that is not documented (wire contract, section 10)."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Assumptions"]


@dataclass(frozen=True, slots=True)
class Assumptions:
    """One choice for each undocumented behaviour of Descope.

    The defaults are the likelier behaviour. A client should work with the alternatives too.

    Attributes:
        revoked_status: HTTP status of "logged out" (E064001) and of an invalid token (E061005).
        reuse_status: HTTP status of "family invalidated" (E064006); 400 in two captured responses.
        refresh_repeats_token: Without rotation, a refresh returns the refresh token that the client sent.
        failed_sign_in: Query parameters that report a failed sign-in to the app: ``err``, which Descope's
            own web component reads, or OAuth's ``error`` and ``error_description``.
        redirect_query: ``append`` keeps the query of the app's URL and appends to it. ``rebuild`` sorts all
            parameters by name and encodes them again, as Go's URL library does.
        validate_wraps: ``/v1/auth/validate`` returns the claims under ``parsedJWT``, as its documentation
            shows, instead of at the root, as clients have seen.
        custom_claims_at_top: Custom claims of the login options are at the top level of the session JWT
            instead of under ``nsec``. They never replace Descope's own claims.
        drn_is_cookie_name: A renamed cookie also renames the ``drn`` of its token.
        sso_sets_tenant: A sign-in through a tenant's SSO makes it the current tenant.
        enforces_initiated_email: A sign-in started with ``initiatedEmail`` fails if the user who confirms it
            has a different e-mail address. If false, ``initiatedEmail`` is ignored.
        refresh_holds_grants: The refresh JWT contains roles and permissions, as the session JWT does.
        select_repeats_sign_in: A tenant switch returns ``firstSeen``, ``idpResponse`` and ``tenantSSOID`` of
            the sign-in again, instead of false, null and an empty string.
        notp_image: The image of an nOTP is a data URI, or base64 without its prefix.
        notp_expiry_differs: An nOTP reference that is unknown, used or expired gets 400 (E062504) instead of
            the 401 (E066103) of a sign-in that is not confirmed yet.
        inbound_issuer: The issuer of the tokens of inbound apps: ``{base}/v1/apps/{id}`` (``project``), with
            ``agentic`` before the id and an MCP server after it (``agentic``), or with the user's tenant
            after the id (``tenant``).
        inbound_audience: The audience of these tokens: the project id, the client id and the requested
            resources as a list (``project_and_client``), the project id as text (``project``), the project id
            and the resources (``project_and_resource``), or only the resources (``resource``). Without a
            resource, the last two are the project id.
        inbound_drn: These tokens have ``drn`` next to ``token_type``, as session JWTs do.
        inbound_grants: The access tokens of users contain no roles (``none``), roles and tenants as session
            JWTs do (``roles``), or these and the current tenant (``tenant``).
        client_credentials_subject: The subject of a token that an app has requested for itself: its client id
            (``client_id``), another id of the app (``app_id``), an id like that of an access key
            (``key_id``), or the client id, which is also in the claim ``client_id`` (``client_id_claim``).
        inbound_refresh_rotates: Every refresh of an inbound app replaces its refresh token, and the reuse of
            a replaced one ends the family.
        denied_consent: What an app gets if the user denies its consent: ``error=access_denied``, the
            parameter ``err``, or nothing, because the browser stays on a ``page``.
        client_registration: A dynamic registration creates a public client (``public``), a client with a
            secret (``secret``), or is ``disabled`` (403).
        dpop_token_type: The ``token_type`` in the response with a token that is bound to a key.
        access_key_jwt: The session JWT of an access key has ``drn``, and the id of the key as its subject
            (``key``); the same without ``drn`` (``without_drn``); or with ``drn``, and the user to whom the
            key is bound as its subject (``bound_user``).
        access_key_life: The session JWT of an access key lives for the project's ``access_key_seconds``, at
            most until the key expires (``setting``), or until the key expires, if it does (``key``).
        access_key_failures: Every access key that is refused gets 401 E062803 (``same``), or an expired one,
            an inactive one and one from another address each get a code of their own (``distinct``).
        actor_claim: The claim ``act`` of an impersonated user: an object with ``sub`` in both tokens
            (``object``), this object in the refresh JWT only (``refresh_only``), or the user id as a string
            in both tokens (``string``).
        webhook_envelope: The body of an audit webhook is an ``array`` of events, or an ``object``, one event.
        webhook_signature: The signature of a webhook is that of the body (``raw``), of the body in base64
            (``base64``), or of the body as compact JSON, which is sent with white space (``compact``).
        webhook_delivery: Each webhook is sent ``once``, or as a ``duplicate`` too. If the app does not accept
            it, it is sent two more times.
        webhook_disabled: The event about a disabled user is ``UserModified`` with the new status
            (``status``), or ``LoginExceedMaxAttempts`` (``attempts``); or there is none (``none``).
        impersonation_refusal: HTTP status if the impersonator lacks the permission, or the user's consent is
            missing.
    """

    revoked_status: Literal[400, 401] = 401
    reuse_status: Literal[400, 401] = 400
    refresh_repeats_token: bool = False
    failed_sign_in: Literal["err", "error", "both"] = "both"
    redirect_query: Literal["append", "rebuild"] = "append"
    validate_wraps: bool = False
    custom_claims_at_top: bool = False
    drn_is_cookie_name: bool = True
    sso_sets_tenant: bool = True
    enforces_initiated_email: bool = True
    refresh_holds_grants: bool = False
    select_repeats_sign_in: bool = False
    notp_image: Literal["data_uri", "base64"] = "data_uri"
    notp_expiry_differs: bool = False
    inbound_issuer: Literal["project", "agentic", "tenant"] = "project"
    inbound_audience: Literal["project_and_client", "project", "project_and_resource", "resource"] = (
        "project_and_client"
    )
    inbound_drn: bool = False
    inbound_grants: Literal["none", "roles", "tenant"] = "none"
    client_credentials_subject: Literal["client_id", "app_id", "key_id", "client_id_claim"] = "client_id"
    inbound_refresh_rotates: bool = False
    denied_consent: Literal["access_denied", "err", "page"] = "access_denied"
    client_registration: Literal["public", "secret", "disabled"] = "public"
    dpop_token_type: Literal["DPoP", "Bearer"] = "DPoP"  # noqa: S105 - not a password
    access_key_jwt: Literal["key", "without_drn", "bound_user"] = "key"
    access_key_life: Literal["setting", "key"] = "setting"
    access_key_failures: Literal["same", "distinct"] = "same"
    actor_claim: Literal["object", "refresh_only", "string"] = "object"
    webhook_envelope: Literal["array", "object"] = "array"
    webhook_signature: Literal["raw", "base64", "compact"] = "raw"
    webhook_delivery: Literal["once", "duplicate"] = "once"
    webhook_disabled: Literal["status", "attempts", "none"] = "status"
    impersonation_refusal: Literal[400, 401, 403] = 401

    def error_parameters(self, error: str, description: str, *, standard: bool) -> dict[str, str]:
        """Return the query parameters that report a failed sign-in to the app.

        Args:
            error: An error code of OAuth.
            description: The reason, for developers.
            standard: Use the parameters of RFC 6749, section 4.1.2.1, whatever ``failed_sign_in`` is.
        """
        values = {"err": error, "error": error, "error_description": description}
        names = {"err": {"err"}, "error": {"error", "error_description"}, "both": set(values)}
        selected = names["error" if standard else self.failed_sign_in]
        return {name: value for name, value in values.items() if name in selected}
