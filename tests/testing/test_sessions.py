"""The sessions of the test harness: their content, expiry and revocation."""

import pytest

from fastapi_descope.testing import emulated_descope
from tests.helpers.guarded_app import guarded_app


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/admin", {"roles": ["admin"]}),
        ("/project-admin", {"roles": ["admin"], "tenant": None}),
        ("/write", {"permissions": ["reports.write"]}),
        ("/mfa", {"amr": ["mfa"]}),
        ("/step-up", {"step_up": True}),
    ],
)
def test_a_guard_accepts_a_session_that_meets_it(path: str, options: dict[str, object]) -> None:
    """It refuses other sessions, and requests without a session."""
    with emulated_descope(guarded_app()) as harness:
        assert harness.sign_in(**options).get(path).status_code == 200  # type: ignore[arg-type] # one of several
        assert harness.sign_in().get(path).status_code in (401, 403)
        assert harness.client().get(path).json()["code"] == "not_authenticated"


def test_each_call_creates_another_user() -> None:
    """So users of one test do not affect each other."""
    with emulated_descope(guarded_app()) as harness:
        one, two = harness.sign_in().get("/me").json(), harness.sign_in().get("/me").json()

    assert one == ["user1@made-up.example", "acme"]
    assert two == ["user2@made-up.example", "acme"]


def test_a_known_user_keeps_its_roles() -> None:
    """The emulator's Hank is an admin of Globex."""
    with emulated_descope(guarded_app()) as harness:
        hank = harness.sign_in("hank@globex.example", tenant="globex")

        assert hank.get("/me").json() == ["hank@globex.example", "globex"]
        assert hank.get("/admin").status_code == 200


def test_an_error_for_the_wrong_tenant_lists_the_right_ones() -> None:
    """A user without a tenant can sign in with ``tenant=None``."""
    with emulated_descope(guarded_app()) as harness:
        for user, tenant, message in (
            (
                "hank@globex.example",
                "acme",
                "'acme' (the default). Use one of: tenant='globex', tenant=None.",
            ),
            ("nomad@example.org", "acme", "'acme' (the default). Use one of: tenant=None."),
            ("nomad@example.org", "globex", "'globex'. Use one of: tenant=None."),
        ):
            with pytest.raises(LookupError) as refused:
                harness.sign_in(user, tenant=tenant)
            assert str(refused.value) == f"{user} is not a member of tenant {message}"
        assert harness.sign_in("nomad@example.org", tenant=None).get("/session").json()["tenant"] is None


def test_given_roles_replace_those_of_the_user() -> None:
    """In the session and after a refresh. Roles in other tenants stay."""
    with emulated_descope(guarded_app()) as harness:
        ada = harness.sign_in("ada@acme.example", permissions=["reports.write"])
        before = [ada.get(path).status_code for path in ("/write", "/admin")]
        harness.expire_session(ada)
        after = [ada.get(path).status_code for path in ("/write", "/admin")]
        user = harness.emulator.project.find_user("ada@acme.example")

    assert before == after == [200, 403]
    assert user is not None
    assert user.grants_in("globex").roles == ("viewer",)


def test_given_roles_apply_to_earlier_sessions_after_a_refresh() -> None:
    """At Descope, roles belong to the user, not to a session."""
    with emulated_descope(guarded_app()) as harness:
        before = harness.sign_in("ada@acme.example")
        harness.sign_in("ada@acme.example", roles=["viewer"])
        unrefreshed = before.get("/admin").status_code
        harness.expire_session(before)

        assert (unrefreshed, before.get("/admin").status_code) == (200, 403)


def test_none_means_the_default() -> None:
    """So a helper of a test can pass its own optional arguments on."""
    with emulated_descope(guarded_app()) as harness:
        ada = harness.sign_in("ada@acme.example", roles=None, permissions=None, amr=None, claims=None)

        assert ada.get("/admin").status_code == 200


@pytest.mark.parametrize("user", [5, ["ada@acme.example"]])
def test_a_user_that_is_not_a_string_is_refused(user: object) -> None:
    """The error names what is expected."""
    with (
        emulated_descope(guarded_app()) as harness,
        pytest.raises(TypeError, match="expected a login id or a user"),
    ):
        harness.sign_in(user)  # type: ignore[arg-type] # the mistake under test


def test_unknown_users_and_tenants_are_added_to_the_project() -> None:
    """Existing ones stay."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.sign_in("peter@initech.example", tenant="initech")

        assert client.get("/me").json() == ["peter@initech.example", "initech"]
        assert [each.id for each in harness.emulator.project.tenants] == ["acme", "globex", "initech"]


def test_a_session_can_be_without_a_tenant() -> None:
    """The user is signed in but has no current tenant."""
    with emulated_descope(guarded_app()) as harness:
        response = harness.sign_in(tenant=None).get("/me")

    assert (response.status_code, response.json()["code"]) == (403, "no_tenant")


def test_further_claims_go_into_the_session() -> None:
    """As a JWT template of the project would add them."""
    with emulated_descope(guarded_app()) as harness:
        assert harness.sign_in(claims={"plan": "pro"}).get("/plan").json() == "pro"


def test_a_refused_token_is_visible_with_bearer_only() -> None:
    """With cookies the app gets a valid token with the refresh token."""
    with emulated_descope(guarded_app(audience="reports")) as harness:
        wrong = {"aud": "somebody-else"}

        assert harness.sign_in(claims=wrong, bearer=True).get("/me").status_code == 401
        assert harness.sign_in(claims=wrong).get("/me").status_code == 200
        assert harness.emulator.requests.count("refresh") == 1


@pytest.mark.parametrize("name", ["roles", "permissions", "amr"])
def test_a_string_is_not_a_sequence_of_names(name: str) -> None:
    """It would become one role per letter."""
    with (
        emulated_descope(guarded_app()) as harness,
        pytest.raises(TypeError, match=r"sequence of strings.*\['admin'\]"),
    ):
        harness.sign_in(**{name: "admin"})  # type: ignore[arg-type] # the mistake under test


def test_an_unknown_option_is_refused() -> None:
    """Otherwise ``role=`` would sign in a user without roles, and the test would prove nothing."""
    with emulated_descope(guarded_app()) as harness:
        for sign_in in (harness.sign_in, harness.sign_in_async):
            with pytest.raises(
                TypeError, match=r"no option 'role'; the options are tenant, roles, permissions"
            ):
                sign_in(role=["admin"])  # type: ignore[call-arg] # what a type checker would have found


@pytest.mark.parametrize("actor", ["grace@acme.example", "sue@support.example"])
def test_an_impersonated_session_names_its_actor(actor: str) -> None:
    """A known user, or one that is added. It stays impersonated after a refresh."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.sign_in("ada@acme.example", actor=actor)
        user = harness.emulator.project.find_user(actor)
        assert user is not None
        assert client.get("/session").json()["actor"] == user.user_id
        harness.expire_session(client)
        assert client.get("/session").json()["actor"] == user.user_id
        assert harness.sign_in("ada@acme.example").get("/session").json()["actor"] is None


def test_a_bearer_client_has_no_cookies() -> None:
    """Its token works until it expires and is not refreshed."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.sign_in(bearer=True, roles=["admin"])
        before = client.get("/admin")
        harness.expire_session(client)
        after = client.get("/admin")

    assert not client.cookies
    assert (before.status_code, after.status_code) == (200, 401)
    assert after.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_an_expired_session_is_refreshed() -> None:
    """The client keeps the new cookies. All clients share the clock."""
    with emulated_descope(guarded_app()) as harness:
        one, two = harness.sign_in(), harness.sign_in()
        harness.expire_session(one)
        time = harness.emulator.clock()
        harness.expire_session(two)

        assert 0 <= harness.emulator.clock() - time < 300
        assert "DS=" in one.get("/me").headers["set-cookie"]
        assert "DS=" in two.get("/me").headers["set-cookie"]
        assert "set-cookie" not in one.get("/me").headers
        assert harness.emulator.requests.count("refresh") == 2


def test_a_revoked_session_ends_with_its_token() -> None:
    """Not before: the app does not ask Descope about a valid session token."""
    with emulated_descope(guarded_app()) as harness:
        client, other = harness.sign_in(), harness.sign_in()
        harness.revoke_session(client)
        assert client.get("/me").status_code == 200

        harness.expire_session(client)

        assert client.get("/me").json()["code"] == "session_ended"
        assert not client.cookies
        assert other.get("/me").status_code == 200


def test_ending_the_session_of_an_unauthenticated_client_is_an_error() -> None:
    """The error names the cause."""
    with emulated_descope(guarded_app()) as harness:
        for end in (harness.expire_session, harness.revoke_session):
            with pytest.raises(LookupError, match="no session token"):
                end(harness.client())


def test_a_session_may_take_several_cookies() -> None:
    """The harness writes and reads cookies as the app does, including chunks."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.sign_in(claims={"plan": "p" * 4_500})

        assert sorted(client.cookies) == ["DS.0", "DS.1", "DSR"]
        assert client.get("/plan").json() == "p" * 4_500
        harness.expire_session(client)
        assert client.get("/me").status_code == 200
        assert sorted(client.cookies) == ["DS", "DSR"]
