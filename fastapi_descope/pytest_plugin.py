"""The pytest plugin: fixtures that run the app under test against an emulator of Descope.

    def test_reports_need_an_admin(sign_in):
        assert sign_in(roles=["viewer"]).get("/reports").status_code == 403
        assert sign_in(roles=["admin"]).get("/reports").status_code == 200

pytest loads it through the entry point ``descope``. Set ``descope_app`` in pytest's configuration. A run
that uses none of the fixtures imports neither the app nor the emulator.
"""

import os
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from operator import attrgetter
from types import ModuleType
from typing import Any, Protocol

import pytest
from starlette.types import ASGIApp

from .errors import ConfigurationError

__all__ = [
    "descope_app",
    "descope_client",
    "descope_emulator",
    "descope_harness",
    "descope_project",
    "expire_session",
    "log_in",
    "log_in_async",
    "pytest_addoption",
    "pytest_configure",
    "pytest_load_initial_conftests",
    "revoke_session",
    "sign_in",
    "sign_in_async",
]

_VARIABLE = "DESCOPE_PROJECT_ID"
_PROJECT_ID = "P2TESTSofAnAppWithFakeTenants"
"""A well-formed project id that does not exist. The emulator plays the project of the app's settings."""


class _Harness(Protocol):
    """The part of ``testing.TestHarness`` that the fixtures use. Only a fixture imports that class."""

    @property
    def emulator(self) -> object: ...
    @property
    def client(self) -> Callable[[], object]: ...
    @property
    def sign_in(self) -> Callable[..., object]: ...
    @property
    def sign_in_async(self) -> Callable[..., object]: ...
    @property
    def log_in(self) -> Callable[..., object]: ...
    @property
    def log_in_async(self) -> Callable[..., Awaitable[object]]: ...
    @property
    def expire_session(self) -> Callable[..., None]: ...
    @property
    def revoke_session(self) -> Callable[..., None]: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the ini options ``descope_app`` and ``descope_seed``."""
    parser.addini("descope_app", 'the app that signs in through Descope, as "module:attribute"', default="")
    parser.addini(
        "descope_seed",
        "a seed file with tenants and users, relative to the folder of pytest's configuration",
        default="",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Set a project id before any ``conftest.py`` imports the app; keep one that the environment has."""
    _set_default_project_id(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Set a project id if a ``conftest.py`` loaded this plugin, after the hook above."""
    _set_default_project_id(config)


@pytest.fixture
def descope_app(pytestconfig: pytest.Config) -> object:
    """Return the app that ``descope_app`` in pytest's configuration names. Override it for an app factory."""
    name = _option(pytestconfig, "descope_app")
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise _failure(
            'Name the app to test in pytest\'s configuration, such as descope_app = "main:app"'
            " (module:attribute), or define your own descope_app fixture."
        )
    imported = _import(module)
    try:
        return attrgetter(attribute)(imported)
    except AttributeError:
        raise _failure(f"descope_app: the module {module} has no attribute {attribute}.") from None


@pytest.fixture
def descope_project(pytestconfig: pytest.Config) -> object:
    """Return the emulator's tenants, users and options (``fastapi_descope.emulator.Project``).

    They come from the file that ``descope_seed`` names; without one, None for the default project. Override
    the fixture for your own.
    """
    name = _option(pytestconfig, "descope_seed")
    if not name:
        return None
    with _extra_required():
        from .emulator.seed import SeedError, load  # noqa: PLC0415 - imported only when a fixture needs it
    folder = pytestconfig.inipath.parent if pytestconfig.inipath else pytestconfig.rootpath
    try:
        return load(folder / name)
    except SeedError as error:
        raise _failure(f"descope_seed: {error}") from None


@pytest.fixture
def descope_harness(descope_app: ASGIApp, descope_project: Any) -> Generator[_Harness]:
    """Run the app against a new emulator (``fastapi_descope.testing.TestHarness``)."""
    with _extra_required():
        from .testing import emulated_descope  # noqa: PLC0415 - imported only when a fixture needs it
    with ExitStack() as stack:
        try:
            harness = stack.enter_context(emulated_descope(descope_app, project=descope_project))
        except ConfigurationError as error:
            raise _failure(str(error)) from None
        yield harness


@pytest.fixture
def descope_emulator(descope_harness: _Harness) -> object:
    """Return the app's emulator: its users and tenants, its clock, its faults, and the app's calls."""
    return descope_harness.emulator


@pytest.fixture
def descope_client(descope_harness: _Harness) -> object:
    """Return a test client without a session; see ``TestHarness.client``."""
    return descope_harness.client()


@pytest.fixture
def sign_in(descope_harness: _Harness) -> Callable[..., object]:
    """Return a function that returns a test client with a new session; see ``TestHarness.sign_in``.

    Its options: user, tenant, roles, permissions, amr, step_up, actor, claims, bearer.
    """
    return descope_harness.sign_in


@pytest.fixture
def sign_in_async(descope_harness: _Harness) -> Callable[..., object]:
    """Return a function that returns an ``httpx.AsyncClient`` with a new session.

    See ``TestHarness.sign_in_async``.
    """
    return descope_harness.sign_in_async


@pytest.fixture
def log_in(descope_harness: _Harness) -> Callable[..., object]:
    """Return a function that logs a client in through the app's login and callback.

    Its options: user, tenant, return_to, provider, refuse. See ``TestHarness.log_in``.
    """
    return descope_harness.log_in


@pytest.fixture
def log_in_async(descope_harness: _Harness) -> Callable[..., Awaitable[object]]:
    """Return a coroutine function that logs an async client in; see ``TestHarness.log_in_async``."""
    return descope_harness.log_in_async


@pytest.fixture
def expire_session(descope_harness: _Harness) -> Callable[..., None]:
    """Return a function that lets a client's session token expire; see ``TestHarness.expire_session``."""
    return descope_harness.expire_session


@pytest.fixture
def revoke_session(descope_harness: _Harness) -> Callable[..., None]:
    """Return a function that revokes the sessions of a client's user; see ``TestHarness.revoke_session``."""
    return descope_harness.revoke_session


def _set_default_project_id(config: pytest.Config) -> None:
    names = {name.upper() for name in os.environ}
    if config.getini("descope_app") and not {_VARIABLE, f"{_VARIABLE}_FILE"} & names:
        environment = pytest.MonkeyPatch()
        environment.setenv(_VARIABLE, _PROJECT_ID)
        config.add_cleanup(environment.undo)


def _option(config: pytest.Config, name: str) -> str:
    """Return an ini option; without the quotes of TOML, which ``pytest.ini`` takes literally."""
    value: str = config.getini(name)
    return value.strip("\"'")


@contextmanager
def _extra_required() -> Generator[None]:
    try:
        yield
    except ModuleNotFoundError as missing:
        raise _failure(f"The fixtures need {missing.name}: pip install 'fastapi-descope[testing]'") from None


def _import(module: str) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        if not f"{module}.".startswith(f"{missing.name}."):
            raise  # the app's own import failed
        raise _failure(
            f"descope_app: there is no module {module}. Add its folder to pythonpath in pytest's"
            ' configuration, such as pythonpath = ["."] (in pytest.ini: pythonpath = .).'
        ) from None


def _failure(reason: str) -> BaseException:
    """Return a test failure without a traceback: the reason is in the configuration, not in code."""
    return pytest.fail.Exception(reason, pytrace=False)
