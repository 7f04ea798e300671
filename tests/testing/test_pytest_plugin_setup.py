"""The configuration of the pytest plugin: the app, its project id, its users, and messages for mistakes."""

import pytest

from tests.testing.example_project import APP, GUARDED, INI, LOADED, TESTS, write_project

pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """An example project with one app and the tests that the documentation suggests."""
    return write_project(pytester)


def test_tests_may_import_the_app_themselves(project: pytest.Pytester) -> None:
    """The project id is set before test modules are imported, and unset after the run."""
    project.makepyfile(
        test_main="""
        from main import app, descope

        def test_it(sign_in):
            assert sign_in().get("/me").status_code == 200
            assert descope.settings.project_id.startswith("P2TESTS")
        """,
    )

    project.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)
    project.runpytest_inprocess(*LOADED, "-o", "descope_app=").assert_outcomes(errors=1)


@pytest.mark.parametrize(
    ("folder", "loaded"), [(".", LOADED), ("tests", LOADED[-2:])], ids=["named", "found"]
)
def test_conftests_may_import_the_app_themselves(
    project: pytest.Pytester, folder: str, loaded: tuple[str, ...]
) -> None:
    """The project id is set early enough, whether the plugin is named or found."""
    directory = project.path / folder
    directory.mkdir(exist_ok=True)
    (directory / "conftest.py").write_text("from main import app", encoding="utf-8")
    (directory / "test_main.py").write_text(TESTS, encoding="utf-8")

    project.runpytest_subprocess("-p", "no:schemathesis", *loaded, folder).assert_outcomes(passed=GUARDED)


def test_a_conftest_may_load_the_plugin(pytester: pytest.Pytester) -> None:
    """Without plugin autoload the project id is set in time for test modules, though not for the conftest."""
    pytester.makeini(INI)
    pytester.makeconftest('pytest_plugins = ["fastapi_descope.pytest_plugin"]')
    pytester.makepyfile(main=APP, test_main=f"from main import app\n{TESTS}")

    done = pytester.runpytest_subprocess("--disable-plugin-autoload", "-p", "no:cacheprovider")

    done.assert_outcomes(passed=GUARDED)


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_in_a_pytest_ini_are_ignored(pytester: pytest.Pytester, quote: str) -> None:
    """The documentation shows TOML, where a value has them."""
    pytester.makeini(f"[pytest]\ndescope_app = {quote}main:app{quote}\ndescope_seed = {quote}{quote}")
    pytester.makepyfile(main=APP, test_main=TESTS)

    pytester.runpytest_inprocess(*LOADED).assert_outcomes(passed=GUARDED)


@pytest.mark.parametrize("variable", ["DESCOPE_PROJECT_ID", "DESCOPE_PROJECT_ID_FILE", "descope_project_id"])
def test_a_project_id_in_the_environment_is_kept(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The emulator plays that project."""
    project_id = "P" + "e" * 27
    file = project.maketxtfile(project_id=project_id)
    monkeypatch.setenv(variable, str(file) if variable.endswith("FILE") else project_id)
    project.makepyfile(
        test_main=f"""
        def test_it(sign_in, descope_emulator):
            assert sign_in().get("/me").status_code == 200
            assert descope_emulator.project_id == {project_id!r}
        """
    )

    project.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)


def test_an_app_from_a_factory_comes_from_a_fixture(pytester: pytest.Pytester) -> None:
    """It overrides the plugin's fixture; no configuration is needed."""
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


def test_a_missing_descope_app_names_the_fix(pytester: pytest.Pytester) -> None:
    """The message shows what to write."""
    pytester.makepyfile("def test_it(sign_in): pass")

    done = pytester.runpytest_inprocess(*LOADED)

    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(['*descope_app = "main:app" (module:attribute)*'])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("main", '*descope_app = "main:app" (module:attribute)*'),
        ("main:nothing", "descope_app: the module main has no attribute nothing."),
        ("nowhere:app", 'descope_app: there is no module nowhere.*pythonpath = ?"."? (in pytest.ini*'),
        ("main:FastAPI", "No Descope is installed in this type. If this is a factory, *descope_app fixture*"),
        ("main:me", "No Descope is installed in this function. If this is a factory, *descope_app fixture*"),
        ("bare:nothing", "No Descope is installed in this NoneType. *A factory* must return the app*"),
        ("bare:app", "No Descope is installed in this FastAPI.*emulated_descope(app, descope=...)*"),
    ],
)
def test_a_mistake_in_descope_app_is_reported_without_a_traceback(
    project: pytest.Pytester, name: str, message: str
) -> None:
    """The plugin's own frames would not help the reader."""
    project.makepyfile(bare="from fastapi import FastAPI\napp, nothing = FastAPI(), None")

    done = project.runpytest_inprocess(*LOADED, "-o", f"descope_app={name}", "-k", "payout")

    done.assert_outcomes(errors=1, deselected=GUARDED - 1)
    done.stdout.fnmatch_lines([message])
    done.stdout.no_fnmatch_line("*pytest_plugin.py*")


SEED = """
[[tenants]]
id = "initech"
[[users]]
login_id = "bill@initech.example"
[users.tenants.initech]
roles = ["admin"]
"""

SEEDED = """
def test_it(sign_in):
    assert sign_in("bill@initech.example", tenant="initech").get("/reports").status_code == 200
"""


def test_users_come_from_a_seed_file(project: pytest.Pytester) -> None:
    """Its path is relative to pytest's configuration file; without one, to pytest's root folder."""
    project.makepyfile(test_main=SEEDED)
    project.path.joinpath("project.toml").write_text(SEED, encoding="utf-8")
    project.makefile(".ini", pytest=f"{INI}descope_seed = project.toml")
    rooted = ("--rootdir", str(project.path), "-o", "descope_app=main:app", "-o", "pythonpath=.")

    project.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)
    project.path.joinpath("pytest.ini").unlink()
    done = project.runpytest_inprocess(*LOADED, *rooted, "-o", "descope_seed=project.toml")
    done.assert_outcomes(passed=1)


def test_a_mistake_in_the_seed_file_is_reported_without_a_traceback(project: pytest.Pytester) -> None:
    """A missing file is reported in the same way."""
    project.makefile(".ini", pytest=f"{INI}descope_seed = nowhere.toml")

    done = project.runpytest_inprocess(*LOADED, "-k", "payout")

    done.assert_outcomes(errors=1, deselected=GUARDED - 1)
    done.stdout.fnmatch_lines(["descope_seed: nowhere.toml: cannot be read: No such file or directory"])
    done.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_users_may_come_from_a_fixture(project: pytest.Pytester) -> None:
    """A ``descope_project`` fixture overrides the plugin's."""
    project.makepyfile(
        test_main=f"""
        import pytest
        from fastapi_descope.emulator import Grants, Project, SeedTenant, SeedUser

        @pytest.fixture
        def descope_project():
            bill = SeedUser("bill@initech.example", tenants={{"initech": Grants(("admin",))}})
            return Project(tenants=(SeedTenant("initech"),), users=(bill,))
        {SEEDED.replace(chr(10), chr(10) + " " * 8)}"""
    )

    project.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)
