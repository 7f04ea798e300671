"""Parameters of a login, which the browser sends, and options of a login, which the app sets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple, Self, cast

from .._config.tenant_hint import TENANT_HINT

__all__ = ["LoginOptions", "LoginParams"]

_TEXT = re.compile(r"[ -~]{1,256}")
_FLAG = re.compile(r"true|1")


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """Options that an app sets for a login; unset ones are not sent.

    Attributes:
        stepup: Ask a signed-in user to authenticate again.
        mfa: Ask a signed-in user for a second factor.
        custom_claims: JSON values that become claims of the tokens. Descope may nest them under ``nsec``;
            do not base authorization on them.
        revoke_other_sessions: Revoke the user's other sessions.
        revoke_other_sessions_types: Limit this to sessions of these types.
        sso_app_id: The SSO application that the login is for.
        template_id: The message template of the project to use.
        template_options: Values for the placeholders of the message template.
        locale: The language of messages and pages.
        pkce_challenge: A PKCE challenge in base64. Descope uses it for enchanted links only.
    """

    stepup: bool = False
    mfa: bool = False
    custom_claims: Mapping[str, object] | None = field(default=None, repr=False)
    revoke_other_sessions: bool = False
    revoke_other_sessions_types: tuple[str, ...] = ()
    sso_app_id: str | None = None
    template_id: str | None = None
    template_options: Mapping[str, str] | None = field(default=None, repr=False)
    locale: str | None = None
    pkce_challenge: str | None = None

    def body(self) -> Mapping[str, object]:
        """Return the JSON object that Descope expects (wire contract 2.1), with the options that are set."""
        fields: Mapping[str, object] = {
            "stepup": self.stepup,
            "mfa": self.mfa,
            "customClaims": dict(self.custom_claims or {}),
            "revokeOtherSessions": self.revoke_other_sessions,
            "revokeOtherSessionsTypes": list(self.revoke_other_sessions_types),
            "ssoAppId": self.sso_app_id,
            "templateId": self.template_id,
            "templateOptions": dict(self.template_options or {}),
            "locale": self.locale,
            "pkceChallenge": self.pkce_challenge,
        }
        return {name: value for name, value in fields.items() if value}


class _Spec(NamedTuple):
    grammar: re.Pattern[str]
    meaning: str
    wire: str | None
    sso_only: bool


def _param(
    grammar: re.Pattern[str],
    meaning: str,
    *,
    wire: str | None = None,
    secret: bool = False,
    sso_only: bool = False,
) -> str | None:
    """Return a field for a query parameter; ``wire`` is its name in the request to Descope, if it is sent."""
    spec = _Spec(grammar, meaning, wire, sso_only)
    return field(default=None, repr=not secret, metadata={"spec": spec})


@dataclass(frozen=True, slots=True)
class LoginParams:
    """Query parameters of a login besides ``tenant`` and ``return_to``, as the browser sent them.

    The fields are the only list of these parameters. The query parser, the OpenAPI document and the request
    to Descope are derived from it.
    """

    login_hint: str | None = _param(
        _TEXT, "The user name that the identity provider suggests.", wire="loginHint", secret=True
    )
    sso_id: str | None = _param(
        TENANT_HINT, "The id of one of the tenant's SSO connections.", wire="ssoId", sso_only=True
    )
    prompt: str | None = _param(
        _TEXT, "The prompt of the identity provider, such as login (OpenID Connect).", wire="prompt"
    )
    force_authn: str | None = _param(
        _FLAG,
        "`true`: the identity provider asks for credentials again (SAML).",
        wire="forceAuthn",
        sso_only=True,
    )
    step_up: str | None = _param(_FLAG, "`true`: the user confirms who they are.")
    mfa: str | None = _param(_FLAG, "`true`: the user gives a second factor.")

    @classmethod
    def meanings(cls, *, social: bool = False) -> Mapping[str, str]:
        """Return one sentence about each parameter of SSO, or of social logins, by name."""
        return {name: spec.meaning for name, spec in _SPECS.items() if not (social and spec.sso_only)}

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """Parse a query. A malformed parameter counts as absent."""
        # CB-12: a malformed parameter is never forwarded.
        known = {name: query[name] for name in _SPECS if name in query}
        return cls(**{name: value for name, value in known.items() if _SPECS[name].grammar.fullmatch(value)})

    def as_query(self) -> Mapping[str, str]:
        """Return the query that ``from_query`` parses to these parameters."""
        values = {name: cast("str | None", getattr(self, name)) for name in _SPECS}
        return {name: value for name, value in values.items() if value is not None}

    def wire_query(self, *, social: bool = False) -> Mapping[str, str]:
        """Return the query that Descope expects for SSO, or a social login (wire contract 2.1, 2.4)."""
        specs = ((_SPECS[name], value) for name, value in self.as_query().items())
        given = [(spec, value) for spec, value in specs if not (social and spec.sso_only)]
        return {spec.wire: "true" if spec.grammar is _FLAG else value for spec, value in given if spec.wire}

    def apply_to(self, options: LoginOptions) -> LoginOptions:
        """Return ``options`` with the checks that the browser asks for. No check is switched off."""
        return replace(
            options,
            stepup=options.stepup or self.step_up is not None,
            mfa=options.mfa or self.mfa is not None,
        )


_SPECS: Mapping[str, _Spec] = {each.name: each.metadata["spec"] for each in fields(LoginParams)}
