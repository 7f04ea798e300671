"""The test harness with a custom project."""

from dataclasses import replace
from typing import Literal

import pytest

from fastapi_descope.emulator import Grants, Project, SeedTenant, SeedUser
from fastapi_descope.testing import emulated_descope
from tests.helpers.guarded_app import PROJECT, guarded_app

INITECH = Project(
    tenants=(SeedTenant("initech"),),
    users=(SeedUser("bill@initech.example", tenants={"initech": Grants(("admin",))}),),
    session_seconds=60,
    rotate_refresh=True,
    approved_redirects=("elsewhere.example",),
    auth_management_key="not-the-apps",
    audience="somebody-else",
)


def test_a_custom_project_replaces_the_default() -> None:
    """Its users and its options."""
    with emulated_descope(guarded_app(), project=INITECH) as harness:
        bill = harness.sign_in("bill@initech.example", tenant="initech")
        before = bill.cookies["DSR"]
        harness.expire_session(bill)

        assert bill.get("/admin").status_code == 200
        assert bill.cookies["DSR"] != before
        assert harness.emulator.project.find_user("ada@acme.example") is None


@pytest.mark.parametrize("settings", [{}, {"audience": "reports", "auth_management_key": "a-key"}])
def test_a_custom_project_is_adapted_to_the_app(settings: dict[str, object]) -> None:
    """Its id, audience and management key come from the settings, and a login may redirect to the app."""
    with emulated_descope(guarded_app(**settings), project=INITECH) as harness:
        client = harness.client()
        harness.log_in(client, "bill@initech.example", tenant="initech")

        assert client.get("/me").json() == ["bill@initech.example", "initech"]
        assert harness.emulator.project_id == PROJECT


@pytest.mark.parametrize("issuer", ["id", "url", "app"])
def test_every_supported_issuer_is_accepted(issuer: Literal["id", "url", "app"]) -> None:
    """Also one with the app's base URL; after ``sign_in`` and after ``log_in``."""
    with emulated_descope(guarded_app(), project=Project(issuer=issuer)) as harness:
        logged_in = harness.client()
        harness.log_in(logged_in, "ada@acme.example")

        assert harness.sign_in("ada@acme.example").get("/me").status_code == 200
        assert harness.sign_in("ada@acme.example", bearer=True).get("/me").status_code == 200
        assert logged_in.get("/me").status_code == 200


def test_a_project_may_change_but_keeps_its_id() -> None:
    """The app is configured for one id, so another raises an error."""
    with emulated_descope(guarded_app()) as harness:
        ada = harness.sign_in("ada@acme.example")
        project = harness.emulator.project
        harness.emulator.project = replace(project, users=(SeedUser("ada@acme.example"),))
        harness.expire_session(ada)

        assert ada.get("/admin").json()["code"] == "no_tenant"
        with pytest.raises(ValueError, match=rf"configured for project {PROJECT}.*replace\(emulator"):
            harness.emulator.project = Project()
