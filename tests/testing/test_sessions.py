"""The sessions of the testing kit: they hold what was asked for, expire and end as real ones do."""

import pytest

from fastapi_descope.testing import emulated_descope
from tests.helpers.guarded_app import guarded_app


@pytest.mark.parametrize(
    ("path", "holding"),
    [
        ("/admin", {"roles": ["admin"]}),
        ("/project-admin", {"roles": ["admin"], "tenant": None}),
        ("/write", {"permissions": ["reports.write"]}),
        ("/mfa", {"amr": ["mfa"]}),
        ("/step-up", {"step_up": True}),
    ],
)
def test_a_guard_lets_in_whoever_holds_what_it_demands(path: str, holding: dict[str, object]) -> None:
    """And nobody else: a session without it is refused, a stranger is nobody."""
    with emulated_descope(guarded_app()) as emulation:
        assert emulation.sign_in(**holding).get(path).status_code == 200  # type: ignore[arg-type] # one of several
        assert emulation.sign_in().get(path).status_code in (401, 403)
        assert emulation.client().get(path).json()["code"] == "not_authenticated"


def test_each_new_person_is_another_one() -> None:
    """So what one of them does is not the other's doing."""
    with emulated_descope(guarded_app()) as emulation:
        one, two = emulation.sign_in().get("/me").json(), emulation.sign_in().get("/me").json()

    assert one == ["user1@made-up.example", "acme"]
    assert two == ["user2@made-up.example", "acme"]


def test_a_known_user_comes_as_they_are() -> None:
    """The emulator's Hank is an admin of Globex, and of nothing else."""
    with emulated_descope(guarded_app()) as emulation:
        hank = emulation.sign_in("hank@globex.example", tenant="globex")

        assert hank.get("/me").json() == ["hank@globex.example", "globex"]
        assert hank.get("/admin").status_code == 200


def test_a_known_user_who_is_elsewhere_is_told_where() -> None:
    """By the name that was typed; who is nowhere can come without a tenant."""
    with emulated_descope(guarded_app()) as emulation:
        for user, tenant, told in (
            (
                "hank@globex.example",
                "acme",
                "'acme', which is the default; there is tenant='globex', tenant=None",
            ),
            ("nomad@example.org", "acme", "'acme', which is the default; there is tenant=None"),
            ("nomad@example.org", "globex", "'globex'; there is tenant=None"),
        ):
            with pytest.raises(LookupError) as refused:
                emulation.sign_in(user, tenant=tenant)
            assert str(refused.value) == f"{user} is not a member of tenant {told}"
        assert emulation.sign_in("nomad@example.org", tenant=None).get("/session").json()["tenant"] is None


def test_what_is_given_replaces_what_a_user_holds() -> None:
    """For the session and for what it is refreshed to; in other tenants everything stays."""
    with emulated_descope(guarded_app()) as emulation:
        ada = emulation.sign_in("ada@acme.example", permissions=["reports.write"])
        before = [ada.get(path).status_code for path in ("/write", "/admin")]
        emulation.expire_session(ada)
        after = [ada.get(path).status_code for path in ("/write", "/admin")]
        person = emulation.emulator.project.find_user("ada@acme.example")

    assert before == after == [200, 403]
    assert person is not None
    assert person.grants_in("globex").roles == ("viewer",)


def test_what_is_given_is_the_users_in_every_session() -> None:
    """As at Descope, where roles are no session's own: an earlier one has them from its next refresh on."""
    with emulated_descope(guarded_app()) as emulation:
        before = emulation.sign_in("ada@acme.example")
        emulation.sign_in("ada@acme.example", roles=["viewer"])
        at_first = before.get("/admin").status_code
        emulation.expire_session(before)

        assert (at_first, before.get("/admin").status_code) == (200, 403)


def test_none_is_not_given() -> None:
    """So that a test's own helper can hand on what it was not given itself."""
    with emulated_descope(guarded_app()) as emulation:
        ada = emulation.sign_in("ada@acme.example", roles=None, permissions=None, amr=None, claims=None)

        assert ada.get("/admin").status_code == 200


@pytest.mark.parametrize("user", [5, ["ada@acme.example"]])
def test_who_is_no_name_is_refused(user: object) -> None:
    """With the kind of name that was expected."""
    with (
        emulated_descope(guarded_app()) as emulation,
        pytest.raises(TypeError, match="expected a login id or a user"),
    ):
        emulation.sign_in(user)  # type: ignore[arg-type] # the mistake in question


def test_users_and_tenants_that_nobody_knows_join_the_project() -> None:
    """By whichever name; beside those who are there already."""
    with emulated_descope(guarded_app()) as emulation:
        client = emulation.sign_in("peter@initech.example", tenant="initech")

        assert client.get("/me").json() == ["peter@initech.example", "initech"]
        assert [each.id for each in emulation.emulator.project.tenants] == ["acme", "globex", "initech"]


def test_a_session_can_be_without_a_tenant() -> None:
    """Signed in, and in no organisation."""
    with emulated_descope(guarded_app()) as emulation:
        response = emulation.sign_in(tenant=None).get("/me")

    assert (response.status_code, response.json()["code"]) == (403, "no_tenant")


def test_further_claims_go_into_the_session() -> None:
    """As a JWT template of the project would put them there."""
    with emulated_descope(guarded_app()) as emulation:
        assert emulation.sign_in(claims={"plan": "pro"}).get("/plan").json() == "pro"


def test_a_token_that_must_be_refused_is_a_bearers() -> None:
    """A browser with one like it gets a good one by its refresh token, and nobody notices."""
    with emulated_descope(guarded_app(audience="reports")) as emulation:
        wrong = {"aud": "somebody-else"}

        assert emulation.sign_in(claims=wrong, bearer=True).get("/me").status_code == 401
        assert emulation.sign_in(claims=wrong).get("/me").status_code == 200
        assert emulation.emulator.requests.count("refresh") == 1


@pytest.mark.parametrize("name", ["roles", "permissions", "amr"])
def test_a_string_is_not_several_names(name: str) -> None:
    """It would be one role for each letter, and a 403 that nobody understands."""
    with (
        emulated_descope(guarded_app()) as emulation,
        pytest.raises(TypeError, match=r"several names.*\['admin'\]"),
    ):
        emulation.sign_in(**{name: "admin"})  # type: ignore[arg-type] # the mistake in question


def test_a_keyword_that_is_none_is_refused() -> None:
    """Else ``role=`` would sign in somebody without roles, and the test would prove nothing."""
    with emulated_descope(guarded_app()) as emulation:
        for sign_in in (emulation.sign_in, emulation.sign_in_async):
            with pytest.raises(TypeError, match=r"no 'role'; there are user, tenant, roles, permissions"):
                sign_in(role=["admin"])  # type: ignore[call-arg] # what a type checker would have found


def test_a_bearer_client_has_no_cookies() -> None:
    """An API's caller: its token works until it expires, and nothing renews it."""
    with emulated_descope(guarded_app()) as emulation:
        caller = emulation.sign_in(bearer=True, roles=["admin"])
        before = caller.get("/admin")
        emulation.expire_session(caller)
        after = caller.get("/admin")

    assert not caller.cookies
    assert (before.status_code, after.status_code) == (200, 401)
    assert after.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_a_session_that_expires_is_renewed() -> None:
    """By a real refresh, whose cookies the client keeps. Time passes for everybody, and once."""
    with emulated_descope(guarded_app()) as emulation:
        one, two = emulation.sign_in(), emulation.sign_in()
        emulation.expire_session(one)
        time = emulation.emulator.clock()
        emulation.expire_session(two)

        assert 0 <= emulation.emulator.clock() - time < 300
        assert "DS=" in one.get("/me").headers["set-cookie"]
        assert "DS=" in two.get("/me").headers["set-cookie"]
        assert "set-cookie" not in one.get("/me").headers
        assert emulation.emulator.requests.count("refresh") == 2


def test_a_revoked_session_ends_with_its_token() -> None:
    """As in reality: not before, since nobody asks Descope about a token that is still good."""
    with emulated_descope(guarded_app()) as emulation:
        client, other = emulation.sign_in(), emulation.sign_in()
        emulation.revoke_session(client)
        assert client.get("/me").status_code == 200

        emulation.expire_session(client)

        assert client.get("/me").json()["code"] == "session_ended"
        assert not client.cookies
        assert other.get("/me").status_code == 200


def test_nobody_has_no_session_to_end() -> None:
    """The mistake is named."""
    with emulated_descope(guarded_app()) as emulation:
        for end in (emulation.expire_session, emulation.revoke_session):
            with pytest.raises(LookupError, match="nobody is signed in"):
                end(emulation.client())


def test_a_session_that_needs_several_cookies_is_one_all_the_same() -> None:
    """The kit writes and reads cookies as the app does, in chunks too."""
    with emulated_descope(guarded_app()) as emulation:
        client = emulation.sign_in(claims={"plan": "p" * 4_500})

        assert sorted(client.cookies) == ["DS.0", "DS.1", "DSR"]
        assert client.get("/plan").json() == "p" * 4_500
        emulation.expire_session(client)
        assert client.get("/me").status_code == 200
        assert sorted(client.cookies) == ["DS", "DSR"]
