"""What the pytest plugin is told, and how it tells of mistakes: the app, its project id, its people."""

import pytest

from tests.helpers.docs_example_project import APP, GUARDED, INI, LOADED, TESTS, write_project

pytest_plugins = ["pytester"]


@pytest.fixture
def newcomer(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with one app and the tests that the documentation suggests."""
    return write_project(pytester)


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
        ("main:FastAPI", "No Descope is installed in this type. If it is a factory, *fixture descope_app*"),
        ("main:me", "No Descope is installed in this function. If it is a factory, *fixture descope_app*"),
        ("bare:nothing", "No Descope is installed in this NoneType. *a factory has to return it*"),
        ("bare:app", "No Descope is installed in this FastAPI.*emulated(app, descope=...)*"),
    ],
)
def test_a_mistake_in_the_name_is_one_sentence(newcomer: pytest.Pytester, name: str, told: str) -> None:
    """And no traceback, of which the reader knows nothing."""
    newcomer.makepyfile(bare="from fastapi import FastAPI\napp, nothing = FastAPI(), None")

    done = newcomer.runpytest_inprocess(*LOADED, "-o", f"descope_app={name}", "-k", "payout")

    done.assert_outcomes(errors=1, deselected=GUARDED - 1)
    done.stdout.fnmatch_lines([told])
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


def test_people_come_from_a_seed_file(newcomer: pytest.Pytester) -> None:
    """Beside the configuration of pytest, wherever pytest is started; without one, in its root folder."""
    newcomer.makepyfile(test_main=SEEDED)
    newcomer.path.joinpath("project.toml").write_text(SEED, encoding="utf-8")
    newcomer.makefile(".ini", pytest=f"{INI}descope_seed = project.toml")
    rooted = ("--rootdir", str(newcomer.path), "-o", "descope_app=main:app", "-o", "pythonpath=.")

    newcomer.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)
    newcomer.path.joinpath("pytest.ini").unlink()
    done = newcomer.runpytest_inprocess(*LOADED, *rooted, "-o", "descope_seed=project.toml")
    done.assert_outcomes(passed=1)


def test_a_mistake_in_the_seed_file_is_one_sentence(newcomer: pytest.Pytester) -> None:
    """As of the command; so is a file that is not there."""
    newcomer.makefile(".ini", pytest=f"{INI}descope_seed = nowhere.toml")

    done = newcomer.runpytest_inprocess(*LOADED, "-k", "payout")

    done.assert_outcomes(errors=1, deselected=GUARDED - 1)
    done.stdout.fnmatch_lines(["descope_seed: nowhere.toml: cannot be read: No such file or directory"])
    done.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_people_may_come_by_a_fixture(newcomer: pytest.Pytester) -> None:
    """It overrides the plugin's own, for one test or for all."""
    newcomer.makepyfile(
        test_main=f"""
        import pytest
        from fastapi_descope.emulator import Grants, Project, Tenant, User

        @pytest.fixture
        def descope_project():
            bill = User("bill@initech.example", tenants={{"initech": Grants(("admin",))}})
            return Project(tenants=(Tenant("initech"),), users=(bill,))
        {SEEDED.replace(chr(10), chr(10) + " " * 8)}"""
    )

    newcomer.runpytest_inprocess(*LOADED).assert_outcomes(passed=1)
