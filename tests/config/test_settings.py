"""The sources of settings, and settings as values."""

import copy
import inspect
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from fastapi_descope import Descope
from fastapi_descope._config.env import UnknownSettingWarning
from fastapi_descope.errors import ConfigurationError
from fastapi_descope.settings import DescopeSettings

PROJECT = "P" + "a" * 27
REGIONAL = "Puse1" + "a" * 27
CANARY = "canary-5f3a"

SetVariables = Callable[..., None]


def test_only_the_project_id_is_required(variables: SetVariables) -> None:
    """Every default is as documented."""
    variables(DESCOPE_PROJECT_ID=PROJECT)

    assert DescopeSettings().model_dump() == {
        "project_id": PROJECT,
        "base_url": "https://api.descope.com",
        "public_url": None,
        "default_tenant": None,
        "auth_management_key": None,
        "audience": None,
        "extra_issuers": (),
        "first_party_clients": (),
        "resource": None,
        "mcp_server": None,
        "cookie_secure": None,
        "cookie_samesite": "lax",
        "cookie_prefix": "",
        "cookie_domain": None,
        "session_cookie_name": "DS",
        "refresh_cookie_name": "DSR",
        "former_cookies": (),
        "trusted_origins": (),
        "login_path": None,
        "login_methods": ("sso",),
        "sign_up": False,
        "access_keys": False,
        "post_login_path": "/",
        "post_logout_path": "/",
        "no_store": False,
        "websocket_close_code": 4401,
        "leeway": 5,
        "refresh_ahead": 60,
        "refresh_grace": 30,
        "revocation_ttl": 2_592_000,
        "webhook_secret": None,
        "upstream_timeout": 5.0,
        "jwks_max_stale": 86400,
        "token_cache_size": 4096,
        "redis_url": None,
    }


def test_st08_no_setting_weakens_security() -> None:
    """Algorithms, verification and state cannot be switched off (ST-08)."""
    words = ("alg", "verify", "state", "insecure", "skip")

    assert [name for name in DescopeSettings.model_fields if any(word in name for word in words)] == []


def test_keywords_accept_python_values() -> None:
    """Lists, secrets and numbers need no text form."""
    settings = DescopeSettings(
        project_id=PROJECT,
        public_url="https://app.example.com",
        auth_management_key=SecretStr("K2x"),
        trusted_origins=["https://a.example"],
        extra_issuers=("https://b.example/x",),
        upstream_timeout=2,
    )

    assert settings.trusted_origins == ("https://a.example",)
    assert settings.extra_issuers == ("https://b.example/x",)
    assert settings.auth_management_key == SecretStr("K2x")
    assert settings.upstream_timeout == 2.0


def test_signature_lists_the_settings_as_optional_keywords() -> None:
    """``help`` and IDEs show every setting; ``tests/typing`` checks their types."""
    parameters = inspect.signature(DescopeSettings).parameters

    assert set(parameters) == set(DescopeSettings.model_fields)


def test_variable_names_are_case_insensitive(variables: SetVariables) -> None:
    """As in pydantic-settings."""
    variables(descope_project_id=PROJECT, Descope_Leeway="7")

    assert DescopeSettings().leeway == 7


def test_precedence_of_the_sources(variables: SetVariables, tmp_path: Path) -> None:
    """Keyword, then variable or named file, then secrets directory, then default."""
    (tmp_path / "named").write_text("11\n")
    for name in ("refresh_ahead", "refresh_grace", "leeway", "jwks_max_stale"):
        (tmp_path / f"descope_{name}").write_text("99\n")
    variables(
        DESCOPE_PROJECT_ID=PROJECT,
        DESCOPE_REFRESH_AHEAD_FILE=str(tmp_path / "named"),
        DESCOPE_REFRESH_GRACE="12",
        DESCOPE_LEEWAY_FILE=str(tmp_path / "named"),
    )

    settings = DescopeSettings(leeway=13, _secrets_dir=tmp_path)

    assert settings.leeway == 13
    assert settings.refresh_ahead == 11
    assert settings.refresh_grace == 12
    assert settings.jwks_max_stale == 99
    assert settings.token_cache_size == 4096


def test_base_uri_is_an_alias_of_base_url(variables: SetVariables) -> None:
    """It is the name in Descope's Python SDK, and is validated the same way."""
    variables(DESCOPE_PROJECT_ID=PROJECT, DESCOPE_BASE_URI="https://auth.example.com/")

    assert DescopeSettings().base_url == "https://auth.example.com"


def test_different_values_under_two_names_are_refused(variables: SetVariables) -> None:
    """It is unclear which API is meant."""
    variables(
        DESCOPE_PROJECT_ID=PROJECT,
        DESCOPE_BASE_URI=f"https://{CANARY}-1.example",
        DESCOPE_BASE_URL=f"https://{CANARY}-2.example",
    )

    with pytest.raises(ConfigurationError) as caught:
        DescopeSettings()

    assert str(caught.value) == (
        "DESCOPE_BASE_URL: set more than once with different values;"
        " keep only one of DESCOPE_BASE_URL, DESCOPE_BASE_URI"
    )


def test_keyword_overrides_an_unreadable_file(variables: SetVariables) -> None:
    """The file is not needed."""
    variables(DESCOPE_LEEWAY_FILE="/nonexistent")

    assert DescopeSettings(project_id=PROJECT, leeway=3).leeway == 3


@pytest.mark.parametrize(
    ("project_id", "base_url"),
    [
        ("P" + "a" * 27, "https://api.descope.com"),
        ("P" + "a" * 30, "https://api.descope.com"),
        ("P" + "b" * 31, "https://api.bbbb.descope.com"),
        (REGIONAL, "https://api.use1.descope.com"),
        ("PEUC1" + "a" * 27, "https://api.euc1.descope.com"),
    ],
)
def test_long_project_id_contains_the_region(project_id: str, base_url: str) -> None:
    """It has at least 32 characters, as in Descope's Python SDK (wire contract 1.1)."""
    assert DescopeSettings(project_id=project_id).base_url == base_url


def test_a_base_url_overrides_the_region() -> None:
    """The region applies only without a configured API."""
    settings = DescopeSettings(project_id=REGIONAL, base_url="https://auth.example.com")

    assert settings.base_url == "https://auth.example.com"


def test_issuers_depend_on_the_base_url() -> None:
    """They are three forms of this project at this API, and the extra issuers, without the default API."""
    settings = DescopeSettings(
        project_id=PROJECT, base_url="https://auth.example.com", extra_issuers="https://old.example/x"
    )

    assert settings.issuers == {
        PROJECT,
        f"https://auth.example.com/{PROJECT}",
        f"https://auth.example.com/v1/apps/{PROJECT}",
        "https://old.example/x",
    }


def test_ck03_cookie_names_have_the_prefix() -> None:
    """Each cookie has exactly one name (CK-03)."""
    plain = DescopeSettings(project_id=PROJECT)
    prefixed = DescopeSettings(project_id=PROJECT, cookie_prefix="__Host-", refresh_cookie_name="R")

    assert (plain.session_cookie, plain.refresh_cookie) == ("DS", "DSR")
    assert (prefixed.session_cookie, prefixed.refresh_cookie) == ("__Host-DS", "__Host-R")


def test_settings_are_frozen_values() -> None:
    """They cannot be changed. Equal settings compare and hash equal, and survive copies."""
    settings = DescopeSettings(project_id=PROJECT, redis_url="redis://localhost")

    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, "leeway", 3)  # noqa: B010 - a type checker refuses the assignment
    assert copy.deepcopy(settings) == settings
    assert hash(copy.deepcopy(settings)) == hash(settings)
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own bytes


def test_unknown_variable_causes_a_warning(variables: SetVariables) -> None:
    """The warning points to the line that creates the settings."""
    variables(DESCOPE_PROJECT_ID=PROJECT, DESCOPE_TRUSTED_ORIGIN=CANARY)

    with pytest.warns(UnknownSettingWarning) as caught:
        DescopeSettings()

    assert caught[0].filename == __file__
    assert str(caught[0].message) == (
        "DESCOPE_TRUSTED_ORIGIN is not a setting of fastapi_descope and has no effect;"
        " did you mean DESCOPE_TRUSTED_ORIGINS?"
    )


def test_warning_points_to_the_line_that_creates_descope(variables: SetVariables) -> None:
    """``Descope`` may create the settings itself."""
    variables(DESCOPE_PROJECT_ID=PROJECT, DESCOPE_TRUSTED_ORIGIN=CANARY)

    with pytest.warns(UnknownSettingWarning) as caught:
        Descope()

    assert caught[0].filename == __file__


def test_environment_is_read_on_construction(variables: SetVariables) -> None:
    """It is not read on import."""
    variables(DESCOPE_PROJECT_ID=PROJECT)
    first = DescopeSettings()
    variables(DESCOPE_LEEWAY="9")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (first.leeway, DescopeSettings().leeway) == (5, 9)
