"""An example project: an app with every kind of guard, and the tests that the documentation suggests."""

import pytest

APP = """
from fastapi import Depends, FastAPI
from fastapi_descope import (
    CurrentUser, Descope, require_mfa, require_permissions, require_roles, require_step_up, require_tenant
)

app = FastAPI()
descope = Descope(app)

@app.get("/me")
async def me(user: CurrentUser):
    return user.email

@app.get("/reports", dependencies=[Depends(require_roles("admin"))])
async def reports():
    return []

@app.get("/t/{tenant_id}/reports", dependencies=[Depends(require_tenant())])
async def reports_of(tenant_id: str):
    return []

@app.post("/reports", dependencies=[Depends(require_permissions("reports.write"))])
async def write():
    return "written"

@app.post("/payout", dependencies=[Depends(require_step_up())])
async def payout():
    return "paid"

@app.delete("/reports", dependencies=[Depends(require_mfa())])
async def delete():
    return "gone"
"""

TESTS = """
def test_me_needs_a_sign_in(descope_client, sign_in):
    assert descope_client.get("/me").status_code == 401
    assert sign_in().get("/me").status_code == 200

def test_reports_need_an_admin(sign_in):
    assert sign_in(roles=["viewer"]).get("/reports").status_code == 403
    assert sign_in(roles=["admin"]).get("/reports").status_code == 200

def test_reports_stay_in_their_tenant(sign_in):
    assert sign_in(tenant="globex").get("/t/acme/reports").status_code == 403
    assert sign_in(tenant="acme").get("/t/acme/reports").status_code == 200

def test_writing_reports_needs_the_permission(sign_in):
    assert sign_in(permissions=["reports.read"]).post("/reports").status_code == 403
    assert sign_in(permissions=["reports.write"]).post("/reports").status_code == 200

def test_a_payout_needs_a_step_up(sign_in):
    assert sign_in().post("/payout").status_code == 401
    assert sign_in(step_up=True).post("/payout").status_code == 200

def test_deleting_reports_needs_mfa(sign_in):
    assert sign_in(amr=["pwd"]).delete("/reports").status_code == 401
    assert sign_in(amr=["pwd", "mfa"]).delete("/reports").status_code == 200
"""

GUARDED = 6

INI = """
[pytest]
pythonpath = .
descope_app = main:app
"""

# Loads the plugin by its module name, whether or not the entry point is installed.
LOADED = ("-p", "no:descope", "-p", "fastapi_descope.pytest_plugin", "-p", "no:cacheprovider")


def write_project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Write the example project into the folder of a pytester test."""
    pytester.makefile(".ini", pytest=INI)
    pytester.makepyfile(main=APP, test_main=TESTS)
    return pytester
