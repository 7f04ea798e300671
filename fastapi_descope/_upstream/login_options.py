"""What an app asks of a login beyond an identity."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["LoginOptions"]


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """What a login asks for beyond an identity (wire contract 2.1); what is not set is not sent.

    ``stepup`` and ``mfa`` concern a user who is signed in already. ``custom_claims`` end up in the token,
    where Descope may nest them under ``nsec``: never authorise on them. The template options choose among
    the project's message templates.
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

    def body(self) -> Mapping[str, object]:
        """The JSON object to send: only what is set."""
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
        }
        return {name: value for name, value in fields.items() if value}
