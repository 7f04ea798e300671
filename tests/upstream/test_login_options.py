"""What an app asks of a login is sent under Descope's names, and nothing else is."""

from fastapi_descope._upstream.login_options import LoginOptions


def test_unset_options_are_an_empty_object() -> None:
    """A login without options sends ``{}``: no field that Descope could read as a wish."""
    assert LoginOptions().body() == {}


def test_every_option_has_descopes_name() -> None:
    """Each option goes out under the name of the wire contract, section 2.1."""
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
    }


def test_claims_stay_out_of_repr() -> None:
    """Custom claims may be personal, so ``repr`` does not show them."""
    options = LoginOptions(custom_claims={"e": "canary"}, template_options={"e": "canary"})
    assert "canary" not in repr(options)
