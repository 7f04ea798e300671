"""A missing optional dependency is reported with the extra that installs it."""

import importlib
import sys

import pytest


@pytest.mark.parametrize("extra", ["emulator", "testing"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, extra: str) -> None:
    """The message is one sentence instead of the traceback of a nested import."""
    for name in [name for name in sys.modules if name.startswith(("jinja2", "fastapi_descope."))]:
        if name.startswith(("jinja2", "fastapi_descope.emulator", "fastapi_descope.testing")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)

    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(f"fastapi_descope.{extra}")

    assert str(caught.value) == (
        f"fastapi_descope.{extra} needs jinja2: pip install 'fastapi-descope[{extra}]'"
    )
    assert caught.value.name == "jinja2"
