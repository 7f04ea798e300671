"""Error messages of settings: they name the fix, and contain no value."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator, model_validator

from fastapi_descope.errors import ConfigurationError
from fastapi_descope.settings import DescopeSettings

PROJECT = "P" + "a" * 27
CANARY = "canary-5f3a"

SetVariables = Callable[..., None]


def everything_logged(error: BaseException) -> str:
    """Return all text that a log can show of an error."""
    return "".join([repr(error), str(error), *traceback.format_exception(error)])


def test_missing_project_id_message_says_where_to_find_it() -> None:
    """It is the first message that a new user sees."""
    with pytest.raises(ConfigurationError) as caught:
        DescopeSettings()

    assert str(caught.value) == (
        "DESCOPE_PROJECT_ID is missing. Copy it from the Descope console (Project settings);"
        " to work without a Descope project, run `fastapi-descope emulator` and use the id it prints"
    )


def test_one_message_lists_all_errors(variables: SetVariables) -> None:
    """They are in the order of the settings."""
    variables(DESCOPE_PROJECT_ID="x", DESCOPE_LEEWAY="61", DESCOPE_REDIS_URL="http://x")

    with pytest.raises(ConfigurationError) as caught:
        DescopeSettings(cookie_samesite="none", cookie_secure=False)

    assert str(caught.value).splitlines() == [
        "4 settings are wrong:",
        "- DESCOPE_PROJECT_ID: expected the project id: P, then 20 to 64 letters and digits",
        (
            "- DESCOPE_COOKIE_SAMESITE: browsers reject SameSite=None without Secure;"
            " set DESCOPE_COOKIE_SECURE=true"
        ),
        "- DESCOPE_LEEWAY: expected whole seconds, 0 to 60",
        "- DESCOPE_REDIS_URL: expected a redis:// or rediss:// URL, also with +sentinel or +cluster, or unix://",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"public_url": "https://app.example.com/api"},
            (
                "DESCOPE_PUBLIC_URL: expected an origin without a path, such as https://app.example.com;"
                " a path that a proxy adds belongs in the root path"
                " (uvicorn --root-path)"
            ),
        ),
        (
            {"public_url": "http://app.example.com"},
            "DESCOPE_PUBLIC_URL: plain http is allowed for localhost, 127.0.0.1 and [::1] only; use https",
        ),
        (
            {"base_url": "https://10.0.0.5"},
            "DESCOPE_BASE_URL: expected a host name, not an IP address",
        ),
        (
            {"session_cookie_name": "__Host-DS"},
            "DESCOPE_SESSION_COOKIE_NAME: expected a name without prefix; set DESCOPE_COOKIE_PREFIX",
        ),
        (
            {"refresh_cookie_name": "DS"},
            (
                "DESCOPE_REFRESH_COOKIE_NAME: expected a name that differs from DESCOPE_SESSION_COOKIE_NAME,"
                " also before the first dot"
            ),
        ),
        ({"leeway": True}, "DESCOPE_LEEWAY: expected a number, not true or false"),
        ({"audience": ""}, "DESCOPE_AUDIENCE: empty; set a value or remove this setting"),
        ({"cookie_sekure": True}, "cookie_sekure is not a setting; did you mean cookie_secure?"),
        ({"algorithms": ["none"]}, "algorithms is not a setting"),
    ],
)
def test_message_names_the_fix(values: dict[str, object], message: str) -> None:
    """This holds for typical mistakes."""
    with pytest.raises(ConfigurationError) as caught:
        DescopeSettings.model_validate({"project_id": PROJECT, **values})

    assert str(caught.value) == message


@pytest.mark.parametrize(
    "name", sorted({*DescopeSettings.model_fields} - {"audience", "extra_issuers", "first_party_clients"})
)
@pytest.mark.parametrize("given_as", ["variable", "file", "keyword"])
def test_st05_no_message_contains_a_value(
    variables: SetVariables, tmp_path: Path, name: str, given_as: str
) -> None:
    """Neither message, repr, cause, context nor traceback contains the wrong value (ST-05)."""
    wrong, variable = f"{CANARY} //{CANARY}", f"DESCOPE_{name.upper()}"
    (tmp_path / "value").write_text(wrong)
    known = {"project_id": PROJECT} if name != "project_id" else {}
    if given_as == "variable":
        variables(**{variable: wrong})
    elif given_as == "file":
        variables(**{f"{variable}_FILE": str(tmp_path / "value")})
    else:
        known[name] = wrong

    with pytest.raises(ConfigurationError) as caught:
        DescopeSettings.model_validate(known)

    assert str(caught.value).startswith(f"{variable}: ")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert CANARY not in everything_logged(caught.value)


def test_st05_secrets_are_hidden() -> None:
    """Neither repr nor JSON shows a secret, nor the e-mail address of a default tenant (ST-05)."""
    settings = DescopeSettings(
        project_id=PROJECT,
        auth_management_key=CANARY,
        redis_url=f"rediss://u:{CANARY}@cache.example",
        default_tenant="user@acme.example",
    )

    assert CANARY not in repr(settings) + str(settings) + settings.model_dump_json()
    assert "user@acme.example" not in repr(settings)
    assert settings.auth_management_key is not None
    assert settings.auth_management_key.get_secret_value() == CANARY


def test_secrets_dir_must_be_a_directory(tmp_path: Path) -> None:
    """The message contains no path."""
    path = tmp_path / CANARY
    path.write_text("x")

    with pytest.raises(ConfigurationError) as caught:
        DescopeSettings(project_id=PROJECT, _secrets_dir=path)

    assert str(caught.value) == "_secrets_dir: expected a directory of small, readable text files"
    assert CANARY not in everything_logged(caught.value)
    assert caught.value.__context__ is None


def test_secret_file_must_be_utf8(tmp_path: Path) -> None:
    """A decoding error would contain the bytes."""
    (tmp_path / "descope_redis_url").write_bytes(CANARY.encode() + b"\xff")

    with pytest.raises(ConfigurationError) as caught:
        DescopeSettings(project_id=PROJECT, _secrets_dir=tmp_path)

    assert CANARY not in everything_logged(caught.value)


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError
    return value


class OwnSettings(DescopeSettings):
    """Settings of an app that extends ours."""

    shard: Annotated[int, AfterValidator(_odd)] = 1

    @model_validator(mode="after")
    def _check(self) -> "OwnSettings":
        if self.shard > 9:
            raise ValueError(CANARY)
        return self


@pytest.mark.parametrize(
    ("shard", "message"),
    [("2", "DESCOPE_SHARD: expected another value"), ("11", "DESCOPE_*: expected another value")],
)
def test_errors_of_a_subclass_contain_no_value(variables: SetVariables, shard: str, message: str) -> None:
    """The messages of its own validators are not shown."""
    variables(DESCOPE_PROJECT_ID=PROJECT, DESCOPE_SHARD=shard)

    with pytest.raises(ConfigurationError) as caught:
        OwnSettings.model_validate({})

    assert str(caught.value) == message
