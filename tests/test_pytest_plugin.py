"""The pytest plugin in a newcomer's project: few lines of test, each of which fails without its guard."""

from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

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

def test_reports_are_for_writers_to_write(sign_in):
    assert sign_in(permissions=["reports.read"]).post("/reports").status_code == 403
    assert sign_in(permissions=["reports.write"]).post("/reports").status_code == 200

def test_a_payout_is_confirmed_first(sign_in):
    assert sign_in().post("/payout").status_code == 401
    assert sign_in(step_up=True).post("/payout").status_code == 200

def test_reports_go_by_a_second_factor(sign_in):
    assert sign_in(amr=["pwd"]).delete("/reports").status_code == 401
    assert sign_in(amr=["pwd", "mfa"]).delete("/reports").status_code == 200
"""

GUARDED = 6

INI = """
[pytest]
pythonpath = .
descope_app = main:app
"""

# The plugin by the name of its module, whether or not the entry point is installed.
LOADED = ("-p", "no:descope", "-p", "fastapi_descope.pytest_plugin", "-p", "no:cacheprovider")


@pytest.fixture
def newcomer(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with one app and the tests that the documentation suggests."""
    pytester.makefile(".ini", pytest=INI)
    pytester.makepyfile(main=APP, test_main=TESTS)
    return pytester


def test_the_newcomers_tests_pass(newcomer: pytest.Pytester) -> None:
    """With nothing configured but the name of the app."""
    newcomer.runpytest_inprocess(*LOADED).assert_outcomes(passed=GUARDED)


def test_a_newcomer_writes_five_lines_at_most() -> None:
    """To test a route that is guarded, whichever the guard."""
    tests = TESTS.strip().split("\n\n")
    assert len(tests) == GUARDED
    assert max(len(test.splitlines()) for test in tests) <= 5


@pytest.mark.parametrize(
    ("guard", "failing"),
    [
        ("user: CurrentUser", "test_me_needs_a_sign_in"),
        ('dependencies=[Depends(require_roles("admin"))]', "test_reports_need_an_admin"),
        ("dependencies=[Depends(require_tenant())]", "test_reports_stay_in_their_tenant"),
        (
            'dependencies=[Depends(require_permissions("reports.write"))]',
            "test_reports_are_for_writers_to_write",
        ),
        ("dependencies=[Depends(require_step_up())]", "test_a_payout_is_confirmed_first"),
        ("dependencies=[Depends(require_mfa())]", "test_reports_go_by_a_second_factor"),
    ],
)
def test_each_fails_without_its_guard(newcomer: pytest.Pytester, guard: str, failing: str) -> None:
    """It is the guard that is tested, and nothing in front of it."""
    open_to_all = APP.replace(guard, "").replace("user.email", "None")
    newcomer.makepyfile(main=open_to_all)

    done = newcomer.runpytest_inprocess(*LOADED)

    done.assert_outcomes(passed=GUARDED - 1, failed=1)
    done.stdout.fnmatch_lines([f"FAILED test_main.py::{failing}*"])


def test_every_fixture_is_at_hand(newcomer: pytest.Pytester) -> None:
    """Those that end sessions, that of the emulator, and the asynchronous one."""
    newcomer.makepyfile(
        test_main="""
        import asyncio

        def test_it(descope_emulator, sign_in, sign_in_async, expire_session, revoke_session):
            client = sign_in(roles=["admin"])
            expire_session(client)
            assert client.get("/reports").status_code == 200
            assert descope_emulator.requests.count("refresh") == 1
            revoke_session(client)
            expire_session(client)
            assert client.get("/reports").status_code == 401

            async def ask():
                return await sign_in_async(roles=["admin"]).get("/reports")

            assert asyncio.run(ask()).status_code == 200
        """
    )

    newcomer.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)


def test_tests_may_import_the_app_themselves(newcomer: pytest.Pytester) -> None:
    """Before any fixture has run: the app has a project id by then, and afterwards it is gone."""
    newcomer.makepyfile(
        test_main="""
        from main import app, descope

        def test_it(sign_in):
            assert sign_in().get("/me").status_code == 200
            assert descope.settings.project_id.startswith("P2TESTS")
        """,
    )

    newcomer.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)
    newcomer.runpytest_inprocess(*LOADED, "-o", "descope_app=").assert_outcomes(errors=1)


@pytest.mark.parametrize(
    ("folder", "loaded"), [(".", LOADED), ("tests", LOADED[-2:])], ids=["named", "found"]
)
def test_conftests_may_import_the_app_themselves(
    newcomer: pytest.Pytester, folder: str, loaded: tuple[str, ...]
) -> None:
    """However early they are loaded, and whether the plugin is named or found."""
    where = newcomer.path / folder
    where.mkdir(exist_ok=True)
    (where / "conftest.py").write_text("from main import app", encoding="utf-8")
    (where / "test_main.py").write_text(TESTS, encoding="utf-8")

    newcomer.runpytest_subprocess("-p", "no:schemathesis", *loaded, folder).assert_outcomes(passed=GUARDED)


def test_a_conftest_may_bring_the_plugin_along(pytester: pytest.Pytester) -> None:
    """Where plugins are not looked for: in time for the test modules, if not for itself."""
    pytester.makeini(INI)
    pytester.makeconftest('pytest_plugins = ["fastapi_descope.pytest_plugin"]')
    pytester.makepyfile(main=APP, test_main=f"from main import app\n{TESTS}")

    done = pytester.runpytest_subprocess("--disable-plugin-autoload", "-p", "no:cacheprovider")

    done.assert_outcomes(passed=GUARDED)


@pytest.mark.parametrize("variable", ["DESCOPE_PROJECT_ID", "DESCOPE_PROJECT_ID_FILE", "descope_project_id"])
def test_a_project_id_of_the_environment_stays(
    newcomer: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The emulator plays that project, then."""
    project = "P" + "e" * 27
    file = newcomer.maketxtfile(project_id=project)
    monkeypatch.setenv(variable, str(file) if variable.endswith("FILE") else project)
    newcomer.makepyfile(
        test_main=f"""
        def test_it(sign_in, descope_emulator):
            assert sign_in().get("/me").status_code == 200
            assert descope_emulator.project_id == {project!r}
        """
    )

    newcomer.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)


def test_an_app_made_by_a_function_comes_by_a_fixture(pytester: pytest.Pytester) -> None:
    """It overrides the plugin's own, and nothing is configured."""
    pytester.makeconftest(
        """
        import pytest
        from fastapi import FastAPI
        from fastapi_descope import Descope, DescopeSettings

        @pytest.fixture
        def descope_app():
            app = FastAPI()
            Descope(app, settings=DescopeSettings(project_id="P" + "f" * 27))
            return app
        """
    )
    pytester.makepyfile("def test_it(sign_in): assert sign_in().get('/session').status_code == 200")

    pytester.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)


def test_a_project_that_names_no_app_is_told_to(pytester: pytest.Pytester) -> None:
    """In words that say what to write."""
    pytester.makepyfile("def test_it(sign_in): pass")

    done = pytester.runpytest_inprocess(*LOADED)

    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(['*Say which app to test: descope_app = "module:attribute"*'])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("main", '*Say which app to test: descope_app = "module:attribute"*'),
        ("main:nothing", "descope_app: there is no nothing in the module main."),
        ("nowhere:app", "descope_app: there is no module nowhere. Is its folder in the pythonpath*"),
        ("main:FastAPI", "No Descope is installed in this type.*emulated(app, descope=...)*"),
        ("bare:app", "No Descope is installed in this FastAPI.*emulated(app, descope=...)*"),
    ],
)
def test_a_mistake_in_the_name_is_one_sentence(newcomer: pytest.Pytester, name: str, told: str) -> None:
    """And no traceback, of which the reader knows nothing."""
    newcomer.makepyfile(bare="from fastapi import FastAPI\napp = FastAPI()")

    done = newcomer.runpytest_inprocess(*LOADED, "-o", f"descope_app={name}", "-k", "payout")

    done.assert_outcomes(errors=1, deselected=GUARDED - 1)
    done.stdout.fnmatch_lines([told])
    done.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_what_the_app_fails_to_import_is_shown(newcomer: pytest.Pytester) -> None:
    """With its traceback, for that is the app's own."""
    newcomer.makepyfile(main="import not_to_be_had")

    done = newcomer.runpytest_inprocess(*LOADED, "-k", "payout")

    done.assert_outcomes(errors=1, deselected=GUARDED - 1)
    done.stdout.fnmatch_lines(["*main.py:1: ModuleNotFoundError"])


def test_a_missing_package_is_named_with_its_cure(newcomer: pytest.Pytester) -> None:
    """Of the extra that the fixtures need; only when one is asked for."""
    newcomer.makeconftest(
        """
        import sys

        for name in [name for name in sys.modules if name.startswith(("fastapi_descope.", "jinja2"))]:
            if name.startswith(("fastapi_descope.testing", "fastapi_descope.emulator", "jinja2")):
                del sys.modules[name]
        sys.modules["jinja2"] = None
        """
    )

    done = newcomer.runpytest_inprocess(*LOADED)

    done.assert_outcomes(errors=GUARDED)
    done.stdout.fnmatch_lines(["*need jinja2: pip install 'fastapi-descope?testing?'"])


def test_nothing_is_imported_before_a_fixture_asks(newcomer: pytest.Pytester) -> None:
    """No app, emulator, test client or framework, though the plugin is in every run of pytest."""
    newcomer.makepyfile(
        test_main="""
        import sys

        LATER = {"main", "fastapi_descope.plugin", "fastapi_descope.testing", "fastapi_descope.emulator"}
        LATER |= {"fastapi", "jose", "pydantic", "httpx", "jinja2", "httpx2"}

        def test_without():
            assert not LATER & sys.modules.keys()
            assert not {"uvicorn", "starlette.testclient"} & sys.modules.keys()

        def test_with(sign_in):
            assert LATER <= sys.modules.keys()
        """
    )

    done = newcomer.runpytest_subprocess("-p", "no:schemathesis", "-p", "no:cacheprovider")

    done.assert_outcomes(passed=2)


def test_pytest_finds_the_plugin_by_itself(newcomer: pytest.Pytester) -> None:
    """By the entry point of the installed package, in a process of its own, with warnings as errors."""
    (found,) = entry_points(group="pytest11", name="descope")
    assert found.value == "fastapi_descope.pytest_plugin"

    done = newcomer.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")

    done.assert_outcomes(passed=GUARDED)
