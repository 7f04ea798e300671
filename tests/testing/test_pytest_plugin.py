"""The pytest plugin in a newcomer's project: few lines of test, each of which fails without its guard."""

from importlib.metadata import entry_points

import pytest

from tests.helpers.docs_example_project import APP, GUARDED, LOADED, TESTS, write_project

pytest_plugins = ["pytester"]


@pytest.fixture
def newcomer(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with one app and the tests that the documentation suggests."""
    return write_project(pytester)


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


def test_a_login_is_walked_through(newcomer: pytest.Pytester) -> None:
    """By fixtures, for both kinds of client."""
    newcomer.makepyfile(
        test_main="""
        import asyncio

        def test_it(descope_client, log_in, descope_harness, log_in_async):
            answer = log_in(descope_client, "ada@acme.example", return_to="/me")
            assert descope_client.get(answer.headers["location"]).json() == "ada@acme.example"

            async def walk():
                client = descope_harness.async_client()
                await log_in_async(client)
                return await client.get("/me")

            assert asyncio.run(walk()).json() == "user1@made-up.example"
        """
    )

    newcomer.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)


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
