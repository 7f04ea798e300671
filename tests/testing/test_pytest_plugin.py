"""The pytest plugin in an example project: short tests, each of which fails without the guard it tests."""

import re
from importlib.metadata import entry_points
from inspect import getdoc, signature

import pytest

from fastapi_descope import pytest_plugin
from fastapi_descope.testing import SignInOptions, TestHarness
from tests.testing.example_project import APP, GUARDED, LOADED, TESTS, write_project

pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """An example project with one app and the tests that the documentation suggests."""
    return write_project(pytester)


def test_the_tests_of_the_example_project_pass(project: pytest.Pytester) -> None:
    """Only the name of the app is configured."""
    project.runpytest_inprocess(*LOADED).assert_outcomes(passed=GUARDED)


@pytest.mark.parametrize(
    ("fixture", "options"),
    [
        (pytest_plugin.sign_in, ["user", *SignInOptions.__annotations__]),
        (pytest_plugin.log_in, list(signature(TestHarness.log_in).parameters)[2:]),
    ],
)
def test_the_help_of_a_fixture_names_every_option(fixture: object, options: list[str]) -> None:
    """``pytest --fixtures`` and the reference show it."""
    text = getdoc(fixture) or ""
    found = re.search(r"Its options: ([\w, ]+)\.", text)

    assert found
    assert sorted(found[1].split(", ")) == sorted(options)


def test_a_guard_is_tested_in_five_lines_at_most() -> None:
    """For every kind of guard."""
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
            "test_writing_reports_needs_the_permission",
        ),
        ("dependencies=[Depends(require_step_up())]", "test_a_payout_needs_a_step_up"),
        ("dependencies=[Depends(require_mfa())]", "test_deleting_reports_needs_mfa"),
    ],
)
def test_each_test_fails_without_its_guard(project: pytest.Pytester, guard: str, failing: str) -> None:
    """The tests test the guard and nothing else."""
    without_guard = APP.replace(guard, "").replace("user.email", "None")
    project.makepyfile(main=without_guard)

    done = project.runpytest_inprocess(*LOADED)

    done.assert_outcomes(passed=GUARDED - 1, failed=1)
    done.stdout.fnmatch_lines([f"FAILED test_main.py::{failing}*"])


def test_every_fixture_is_available(project: pytest.Pytester) -> None:
    """The fixtures that end sessions, the emulator, and the asynchronous client."""
    project.makepyfile(
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

            async def get_reports():
                return await sign_in_async(roles=["admin"]).get("/reports")

            assert asyncio.run(get_reports()).status_code == 200
        """
    )

    project.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)


def test_the_log_in_fixtures_run_a_login(project: pytest.Pytester) -> None:
    """With both kinds of client."""
    project.makepyfile(
        test_main="""
        import asyncio

        def test_it(descope_client, log_in, descope_harness, log_in_async):
            response = log_in(descope_client, "ada@acme.example", return_to="/me")
            assert descope_client.get(response.headers["location"]).json() == "ada@acme.example"

            async def log_in_and_get():
                client = descope_harness.async_client()
                await log_in_async(client)
                return await client.get("/me")

            assert asyncio.run(log_in_and_get()).json() == "user1@made-up.example"
        """
    )

    project.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)


def test_an_import_error_in_the_app_is_shown(project: pytest.Pytester) -> None:
    """With its traceback, which points into the app."""
    project.makepyfile(main="import missing_module")

    done = project.runpytest_inprocess(*LOADED, "-k", "payout")

    done.assert_outcomes(errors=1, deselected=GUARDED - 1)
    done.stdout.fnmatch_lines(["*main.py:1: ModuleNotFoundError"])


def test_a_missing_package_is_reported_with_the_extra_to_install(project: pytest.Pytester) -> None:
    """Only when a test uses a fixture."""
    project.makeconftest(
        """
        import sys

        for name in [name for name in sys.modules if name.startswith(("fastapi_descope.", "jinja2"))]:
            if name.startswith(("fastapi_descope.testing", "fastapi_descope.emulator", "jinja2")):
                del sys.modules[name]
        sys.modules["jinja2"] = None
        """
    )

    done = project.runpytest_inprocess(*LOADED)

    done.assert_outcomes(errors=GUARDED)
    done.stdout.fnmatch_lines(["*need jinja2: pip install 'fastapi-descope?testing?'"])


def test_nothing_is_imported_until_a_fixture_is_used(project: pytest.Pytester) -> None:
    """The plugin is loaded in every pytest run, but the app, the emulator and the frameworks are not."""
    project.makepyfile(
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

    done = project.runpytest_subprocess("-p", "no:schemathesis", "-p", "no:cacheprovider")

    done.assert_outcomes(passed=2)


def test_pytest_does_not_collect_the_harness_class(project: pytest.Pytester) -> None:
    """A test module may import it for its annotations, also with warnings as errors."""
    project.makepyfile(
        test_main="""
        from fastapi_descope.testing import TestHarness
        from fastapi_descope.testing.users import TestUsers

        def test_it(descope_harness: TestHarness):
            assert isinstance(descope_harness, TestHarness)
        """
    )

    project.runpytest_inprocess(*LOADED, "-W", "error").assert_outcomes(passed=1)


def test_pytest_loads_the_plugin_through_the_entry_point(project: pytest.Pytester) -> None:
    """In a separate process, with warnings as errors."""
    (found,) = entry_points(group="pytest11", name="descope")
    assert found.value == "fastapi_descope.pytest_plugin"

    done = project.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")

    done.assert_outcomes(passed=GUARDED)
