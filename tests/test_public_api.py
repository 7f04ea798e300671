"""The public API: exported names are documented, typed and importable."""

import ast
import importlib
import inspect
import pkgutil
import typing
from importlib import metadata

import pytest

import fastapi_descope
from fastapi_descope import Descope, DescopeError, DescopeSettings, errors


def _source() -> str:
    return inspect.getsource(fastapi_descope)


def _modules() -> list[str]:
    found = pkgutil.walk_packages(fastapi_descope.__path__, "fastapi_descope.")
    return sorted(module.name for module in found)


def test_all_is_sorted_and_is_what_can_be_imported() -> None:
    """``__all__`` is complete, and each name is the object that a type checker sees."""
    listed = fastapi_descope.__all__
    (seen,) = (node for node in ast.parse(_source()).body if isinstance(node, ast.If) and node.lineno < 30)
    homes = {
        alias.name: f"fastapi_descope.{node.module}"
        for node in seen.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert listed == sorted(listed)
    assert len(listed) == len(set(listed))
    assert set(listed) == homes.keys() | {"__version__"}
    for name, home in homes.items():
        assert getattr(fastapi_descope, name) is getattr(importlib.import_module(home), name), name


def test_the_version_is_that_of_the_installed_distribution() -> None:
    """The version number is kept in one place, pyproject.toml."""
    assert fastapi_descope.__version__ == metadata.version("fastapi-descope")


def test_every_error_class_can_be_imported_from_the_package() -> None:
    """``except fastapi_descope.X`` works for every X that the package raises."""
    assert set(errors.__all__) < set(fastapi_descope.__all__)


def test_the_names_are_listed_before_they_are_imported() -> None:
    """``dir`` lists them for completion. A missing name is an AttributeError, as in any module."""
    assert set(fastapi_descope.__all__) < set(dir(fastapi_descope))
    with pytest.raises(AttributeError, match=r"^module 'fastapi_descope' has no attribute 'Auth'$"):
        _ = getattr(fastapi_descope, "Auth")  # noqa: B009 - a type checker knows that it is not there
    with pytest.raises(ImportError, match="cannot import name 'import_them_all'"):
        exec("from fastapi_descope import import_them_all")  # noqa: S102 - the same


@pytest.mark.parametrize("name", _modules())
def test_every_module_has_a_docstring_and_lists_its_exports(name: str) -> None:
    """Each module has a docstring and an ``__all__`` of existing names."""
    module = importlib.import_module(name)

    assert module.__doc__
    assert [entry for entry in getattr(module, "__all__", []) if not hasattr(module, entry)] == []
    assert hasattr(module, "__all__") or hasattr(module, "__path__")


@pytest.mark.parametrize("name", fastapi_descope.__all__)
def test_annotations_resolve_at_run_time(name: str) -> None:
    """FastAPI resolves annotations at run time, so none depends on TYPE_CHECKING."""
    value = getattr(fastapi_descope, name)
    if isinstance(value, type) or callable(value):
        target = value if isinstance(value, type) or hasattr(value, "__code__") else type(value).__call__
        typing.get_type_hints(target)
    assert value is not None


def test_every_error_derives_from_descope_error() -> None:
    """One ``except DescopeError`` catches every error of the package."""
    for name in errors.__all__:
        value = getattr(errors, name)
        assert not isinstance(value, type) or issubclass(value, (DescopeError, str))


def test_lg06_repr_contains_no_secret() -> None:
    """LG-06: settings and the plugin."""
    settings = DescopeSettings(
        project_id="P" + "a" * 27, auth_management_key="canary-key", redis_url="redis://:canary@127.0.0.1/0"
    )

    assert "canary" not in repr(settings)
    assert "canary" not in repr(Descope(settings=settings))
