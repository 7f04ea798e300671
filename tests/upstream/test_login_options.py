"""Login options under Descope's names."""

from fastapi_descope._upstream.login_options import LoginOptions


def test_unset_options_are_an_empty_object() -> None:
    """The body of a login without options is ``{}``."""
    assert LoginOptions().body() == {}


def test_every_option_has_descopes_name() -> None:
    """The names are those of the wire contract, section 2.1."""
    options = LoginOptions(
        stepup=True,
        mfa=True,
        custom_claims={"plan": "gold"},
        revoke_other_sessions=True,
        revoke_other_sessions_types=("web", "mobile"),
        sso_app_id="app",
        template_id="template",
        template_options={"colour": "blue"},
        locale="de",
        pkce_challenge="c2hhMjU2",
    )
    assert options.body() == {
        "stepup": True,
        "mfa": True,
        "customClaims": {"plan": "gold"},
        "revokeOtherSessions": True,
        "revokeOtherSessionsTypes": ["web", "mobile"],
        "ssoAppId": "app",
        "templateId": "template",
        "templateOptions": {"colour": "blue"},
        "locale": "de",
        "pkceChallenge": "c2hhMjU2",
    }


def test_custom_claims_are_not_in_repr() -> None:
    """They may be personal data."""
    options = LoginOptions(custom_claims={"e": "canary"}, template_options={"e": "canary"})
    assert "canary" not in repr(options)
