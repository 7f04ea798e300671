"""The public face: what is exported is what is documented, typed, and importable."""

import importlib
import pkgutil
import typing

import pytest

import fastapi_descope
from fastapi_descope import Descope, DescopeError, DescopeSettings, errors


def _modules() -> list[str]:
    found = pkgutil.walk_packages(fastapi_descope.__path__, "fastapi_descope.")
    return sorted(module.name for module in found)


def test_all_is_sorted_and_is_what_can_be_imported() -> None:
    """No name is missing, none is accidental."""
    listed = fastapi_descope.__all__
    public = {
        name
        for name, value in vars(fastapi_descope).items()
        if not name.startswith("_") and not isinstance(value, type(fastapi_descope))
    }

    assert listed == sorted(listed)
    assert set(listed) == public
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("name", _modules())
def test_every_module_says_what_it_exports(name: str) -> None:
    """``__all__`` exists, holds only what is there, and the module says what it is for."""
    module = importlib.import_module(name)

    assert module.__doc__
    assert [entry for entry in getattr(module, "__all__", []) if not hasattr(module, entry)] == []
    assert hasattr(module, "__all__") or hasattr(module, "__path__")


@pytest.mark.parametrize("name", fastapi_descope.__all__)
def test_annotations_resolve_at_run_time(name: str) -> None:
    """FastAPI reads them; nothing hides behind TYPE_CHECKING."""
    value = getattr(fastapi_descope, name)
    if isinstance(value, type) or callable(value):
        target = value if isinstance(value, type) or hasattr(value, "__code__") else type(value).__call__
        typing.get_type_hints(target)
    assert value is not None


def test_every_error_is_below_the_root() -> None:
    """One ``except DescopeError`` catches all that leaves the package."""
    for name in errors.__all__:
        value = getattr(errors, name)
        assert not isinstance(value, type) or issubclass(value, (DescopeError, str))


def test_lg06_nothing_shows_a_secret_in_repr() -> None:
    """LG-06: settings and the plugin."""
    settings = DescopeSettings(
        project_id="P" + "a" * 27, auth_management_key="canary-key", redis_url="redis://:canary@127.0.0.1/0"
    )

    assert "canary" not in repr(settings)
    assert "canary" not in repr(Descope(settings=settings))
