"""A missing optional dependency is reported with the extra that installs it."""

import importlib
import sys

import pytest

from fastapi_descope import ConfigurationError, Descope, DescopeSettings

_MODULES = ("fastapi_descope.emulator", "fastapi_descope.testing", "fastapi_descope.sqlalchemy")


@pytest.mark.parametrize(
    ("extra", "package"), [("emulator", "jinja2"), ("testing", "jinja2"), ("sqlalchemy", "sqlalchemy")]
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, extra: str, package: str
) -> None:
    """The message is one sentence instead of the traceback of a nested import."""
    for name in [*sys.modules]:
        if name.startswith((package, *_MODULES)):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(f"fastapi_descope.{extra}")

    assert str(caught.value) == (
        f"fastapi_descope.{extra} needs {package}: pip install 'fastapi-descope[{extra}]'"
    )
    assert caught.value.name == package


def test_a_missing_qr_code_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app does not start with ``notp`` in ``DESCOPE_LOGIN_METHODS``, and needs no segno without it."""
    monkeypatch.setitem(sys.modules, "segno", None)
    project = "P2" + "n" * 26

    with pytest.raises(ConfigurationError) as caught:
        Descope(settings=DescopeSettings(project_id=project, login_methods=["notp"]))
    Descope(settings=DescopeSettings(project_id=project))

    assert caught.value.detail == (
        "DESCOPE_LOGIN_METHODS contains notp, and the segno package is not installed:"
        " pip install 'fastapi-descope[notp]'"
    )
