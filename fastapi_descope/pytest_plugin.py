"""The pytest plugin: fixtures that put an emulator behind the app under test.

    def test_reports_need_an_admin(sign_in):
        assert sign_in(roles=["viewer"]).get("/reports").status_code == 403
        assert sign_in(roles=["admin"]).get("/reports").status_code == 200

pytest finds it by itself (entry point ``descope``) and has to be told one thing, ``descope_app``. Without
that nothing happens: no fixture is used unasked, and what the fixtures need (``testing``, and with it the
emulator and the test client) is imported when one is asked for. Annotations name no type of theirs for
that reason; a test that wants types asks for ``descope_harness: TestHarness``.
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
"""Well-formed, and nobody's. The emulator plays whichever project the app is configured for."""


class _Harness(Protocol):
    """``testing.TestHarness``, as far as the fixtures hand it on."""

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
    """Let the configuration of pytest name the app, and a file with the people who sign in to it."""
    parser.addini("descope_app", 'the app that signs in through Descope, as "module:attribute"', default="")
    parser.addini(
        "descope_seed", "a seed file with its tenants and users, from the configuration's folder", default=""
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Give an app that is named, and has no project id, one to be imported with.

    Here, because a conftest.py may import the app, long before any fixture runs. A project id of the
    environment stays.
    """
    _lend_project_id(early_config)


def pytest_configure(config: pytest.Config) -> None:
    """Do the same where a conftest.py brought this plugin along, which is then too late for the above."""
    _lend_project_id(config)


@pytest.fixture
def descope_app(pytestconfig: pytest.Config) -> object:
    """The app under test: what ``descope_app`` names in pytest's configuration. Override it for a factory."""
    name: str = pytestconfig.getini("descope_app")
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise _failure(
            'Say which app to test: descope_app = "module:attribute" in the configuration of pytest,'
            " or a fixture descope_app of your own."
        )
    imported = _imported(module)
    try:
        return attrgetter(attribute)(imported)
    except AttributeError:
        raise _failure(f"descope_app: there is no {attribute} in the module {module}.") from None


@pytest.fixture
def descope_project(pytestconfig: pytest.Config) -> object:
    """The tenants, users and settings of the emulator (``fastapi_descope.emulator.Project``).

    Those of the file that ``descope_seed`` names, else None for its default ones. Override it for your own.
    """
    name: str = pytestconfig.getini("descope_seed")
    if not name:
        return None
    with _needing_testing():
        from .emulator.seed import SeedError, load  # noqa: PLC0415 - nothing is imported before a fixture asks
    folder = pytestconfig.inipath.parent if pytestconfig.inipath else pytestconfig.rootpath
    try:
        return load(folder / name)
    except SeedError as error:
        raise _failure(f"descope_seed: {error}") from None


@pytest.fixture
def descope_harness(descope_app: ASGIApp, descope_project: Any) -> Generator[_Harness]:
    """The app with a new emulator behind it (``fastapi_descope.testing.TestHarness``)."""
    with _needing_testing():
        from .testing import emulated_descope  # noqa: PLC0415 - nothing is imported before a fixture asks
    with ExitStack() as stack:
        try:
            emulation = stack.enter_context(emulated_descope(descope_app, project=descope_project))
        except ConfigurationError as error:
            raise _failure(str(error)) from None
        yield emulation


@pytest.fixture
def descope_emulator(descope_harness: _Harness) -> object:
    """The emulator behind the app: its users and tenants, its clock, its failures, what it was asked."""
    return descope_harness.emulator


@pytest.fixture
def descope_client(descope_harness: _Harness) -> object:
    """A test client in which nobody is signed in; see ``TestHarness.client``."""
    return descope_harness.client()


@pytest.fixture
def sign_in(descope_harness: _Harness) -> Callable[..., object]:
    """Call it for a test client with a session: user, tenant, roles, permissions, amr, step_up, bearer.

    See ``TestHarness.sign_in``.
    """
    return descope_harness.sign_in


@pytest.fixture
def sign_in_async(descope_harness: _Harness) -> Callable[..., object]:
    """As ``sign_in``, with an ``httpx.AsyncClient`` in the event loop of the test."""
    return descope_harness.sign_in_async


@pytest.fixture
def log_in(descope_harness: _Harness) -> Callable[..., object]:
    """Call it with a client to sign in by way of the app's login and callback: user, tenant, return_to.

    See ``TestHarness.log_in``.
    """
    return descope_harness.log_in


@pytest.fixture
def log_in_async(descope_harness: _Harness) -> Callable[..., Awaitable[object]]:
    """As ``log_in``, with a client of ``sign_in_async`` or ``async_client``, and awaited."""
    return descope_harness.log_in_async


@pytest.fixture
def expire_session(descope_harness: _Harness) -> Callable[..., None]:
    """Call it with a client to let its session token expire; see ``TestHarness.expire_session``."""
    return descope_harness.expire_session


@pytest.fixture
def revoke_session(descope_harness: _Harness) -> Callable[..., None]:
    """Call it with a client to end its user's sessions at Descope; see ``TestHarness.revoke_session``."""
    return descope_harness.revoke_session


def _lend_project_id(config: pytest.Config) -> None:
    names = {name.upper() for name in os.environ}
    if config.getini("descope_app") and not {_VARIABLE, f"{_VARIABLE}_FILE"} & names:
        environment = pytest.MonkeyPatch()
        environment.setenv(_VARIABLE, _PROJECT_ID)
        config.add_cleanup(environment.undo)


@contextmanager
def _needing_testing() -> Generator[None]:
    try:
        yield
    except ModuleNotFoundError as missing:
        raise _failure(f"The fixtures need {missing.name}: pip install 'fastapi-descope[testing]'") from None


def _imported(module: str) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        if not f"{module}.".startswith(f"{missing.name}."):
            raise  # something that the app needs
        raise _failure(
            f"descope_app: there is no module {module}. Is its folder in the pythonpath of pytest?"
        ) from None


def _failure(reason: str) -> BaseException:
    """A sentence, and no traceback: where in this file it was said helps nobody."""
    return pytest.fail.Exception(reason, pytrace=False)
