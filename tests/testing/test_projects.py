"""The testing kit with tenants, users and settings of one's own."""

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


def test_a_project_of_ones_own_is_there() -> None:
    """With its people and its settings."""
    with emulated_descope(guarded_app(), project=INITECH) as emulation:
        bill = emulation.sign_in("bill@initech.example", tenant="initech")
        before = bill.cookies["DSR"]
        emulation.expire_session(bill)

        assert bill.get("/admin").status_code == 200
        assert bill.cookies["DSR"] != before
        assert emulation.emulator.project.find_user("ada@acme.example") is None


@pytest.mark.parametrize("settings", [{}, {"audience": "reports", "auth_management_key": "a-key"}])
def test_the_app_fits_into_it(settings: dict[str, object]) -> None:
    """Its id, audience and key are those of the settings, and a sign-in leads back to it."""
    with emulated_descope(guarded_app(**settings), project=INITECH) as emulation:
        client = emulation.client()
        emulation.log_in(client, "bill@initech.example", tenant="initech")

        assert client.get("/me").json() == ["bill@initech.example", "initech"]
        assert emulation.emulator.project_id == PROJECT


@pytest.mark.parametrize("issuer", ["id", "url", "app"])
def test_the_app_takes_every_issuer_that_it_knows(issuer: Literal["id", "url", "app"]) -> None:
    """Also those with the address that the app has for Descope, with a sign-in or a walk through one."""
    with emulated_descope(guarded_app(), project=Project(issuer=issuer)) as emulation:
        walked = emulation.client()
        emulation.log_in(walked, "ada@acme.example")

        assert emulation.sign_in("ada@acme.example").get("/me").status_code == 200
        assert emulation.sign_in("ada@acme.example", bearer=True).get("/me").status_code == 200
        assert walked.get("/me").status_code == 200


def test_a_project_changes_under_the_app_and_keeps_its_id() -> None:
    """Another id would be another project, of which the app knows nothing: said at once."""
    with emulated_descope(guarded_app()) as emulation:
        ada = emulation.sign_in("ada@acme.example")
        project = emulation.emulator.project
        emulation.emulator.project = replace(project, users=(SeedUser("ada@acme.example"),))
        emulation.expire_session(ada)

        assert ada.get("/admin").json()["code"] == "no_tenant"
        with pytest.raises(ValueError, match=rf"configured for the project {PROJECT}.*replace\(emulator"):
            emulation.emulator.project = Project()
