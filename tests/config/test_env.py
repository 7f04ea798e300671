"""Files, aliases and unknown names of environment variables."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from fastapi_descope._config.env import Environment, InvalidValue, UnknownSettingWarning

SETTINGS = ("project_id", "base_url", "auth_management_key", "leeway")

WriteFile = Callable[[bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """Return a function that writes a file and returns its path."""

    def write_file(body: bytes) -> str:
        path = tmp_path / f"value-{len(list(tmp_path.iterdir()))}"
        path.write_bytes(body)
        return str(path)

    return write_file


def invalid_reason(value: str | InvalidValue) -> str:
    """Return the reason why a value is invalid."""
    assert isinstance(value, InvalidValue)
    return value.reason


def test_plain_variable_is_read_by_pydantic() -> None:
    """Only files and aliases are returned."""
    assert Environment({"DESCOPE_LEEWAY": "5", "PATH": "/bin"}).file_and_alias_values(SETTINGS) == {}


@pytest.mark.parametrize("name", ["DESCOPE_LEEWAY_FILE", "descope_leeway_file", "Descope_Leeway_File"])
def test_file_variable_is_read_and_stripped(write: WriteFile, name: str) -> None:
    """``DESCOPE_X_FILE`` provides the value of ``DESCOPE_X``."""
    assert Environment({name: write(b" 7\r\n")}).file_and_alias_values(SETTINGS) == {"leeway": "7"}


def test_base_uri_variable_provides_the_base_url() -> None:
    """It is the name in Descope's Python SDK."""
    found = Environment({"DESCOPE_BASE_URI": "https://a.example"}).file_and_alias_values(SETTINGS)

    assert found == {"base_url": "https://a.example"}


def test_alias_may_be_a_file(write: WriteFile) -> None:
    """``DESCOPE_BASE_URI_FILE`` works as well."""
    found = Environment({"DESCOPE_BASE_URI_FILE": write(b"https://a.example")}).file_and_alias_values(
        SETTINGS
    )

    assert found == {"base_url": "https://a.example"}


def test_same_value_under_several_names_is_accepted(write: WriteFile) -> None:
    """There is no contradiction."""
    url = "https://a.example"
    environment = Environment(
        {
            "DESCOPE_BASE_URL": url,
            "DESCOPE_BASE_URI": url,
            "DESCOPE_BASE_URL_FILE": write(url.encode()),
        }
    )

    assert environment.file_and_alias_values(SETTINGS) == {}


def test_different_values_under_several_names_are_refused(write: WriteFile) -> None:
    """The message contains the names and no value."""
    environment = Environment(
        {
            "DESCOPE_BASE_URL": "https://canary-1.example",
            "DESCOPE_BASE_URI": "https://canary-2.example",
            "DESCOPE_LEEWAY": "5",
            "DESCOPE_LEEWAY_FILE": write(b"6"),
        }
    )

    found = environment.file_and_alias_values(SETTINGS)

    assert invalid_reason(found["base_url"]) == (
        "set more than once with different values; keep only one of DESCOPE_BASE_URL, DESCOPE_BASE_URI"
    )
    assert invalid_reason(found["leeway"]).endswith("keep only one of DESCOPE_LEEWAY, DESCOPE_LEEWAY_FILE")


@pytest.mark.parametrize("path", ["", "/nonexistent/canary", "a\0canary", "/"])
def test_unreadable_file_makes_the_setting_invalid(path: str) -> None:
    """The file may be missing, a directory, or an invalid path. The message contains no path."""
    found = Environment({"DESCOPE_LEEWAY_FILE": path}).file_and_alias_values(SETTINGS)

    assert invalid_reason(found["leeway"]) == (
        "its file cannot be read as UTF-8 text; check its path and permissions"
    )


def test_file_must_be_utf8(write: WriteFile) -> None:
    """Other bytes are refused."""
    found = Environment({"DESCOPE_LEEWAY_FILE": write(b"\xff\xfe7")}).file_and_alias_values(SETTINGS)

    assert "UTF-8" in invalid_reason(found["leeway"])


def test_file_may_have_64_kib(write: WriteFile) -> None:
    """A larger file is most likely a wrong path."""
    at_limit = Environment({"DESCOPE_LEEWAY_FILE": write(b"7" * 65536)}).file_and_alias_values(SETTINGS)
    above = Environment({"DESCOPE_LEEWAY_FILE": write(b"7" * 65537)}).file_and_alias_values(SETTINGS)

    assert at_limit == {"leeway": "7" * 65536}
    assert invalid_reason(above["leeway"]) == "its file is larger than 65536 bytes"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "DESCOPE_PROJCT_ID",
            (
                "DESCOPE_PROJCT_ID is not a setting of fastapi_descope and has no effect;"
                " did you mean DESCOPE_PROJECT_ID?"
            ),
        ),
        (
            "descope_base_urll_file",
            (
                "DESCOPE_BASE_URLL_FILE is not a setting of fastapi_descope and has no effect;"
                " did you mean DESCOPE_BASE_URL?"
            ),
        ),
        ("DESCOPE_XYZZY", "DESCOPE_XYZZY is not a setting of fastapi_descope and has no effect"),
    ],
)
def test_unknown_name_causes_a_warning(name: str, message: str) -> None:
    """The warning names the variable and the nearest known one, and contains no value."""
    with pytest.warns(UnknownSettingWarning) as caught:
        Environment({name: "canary"}).warn_of_unknown(SETTINGS)

    assert [str(warning.message) for warning in caught] == [message]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "name",
    [
        "DESCOPE_LEEWAY",
        "descope_leeway",
        "DESCOPE_LEEWAY_FILE",
        "DESCOPE_BASE_URI",
        "DESCOPE_BASE_URI_FILE",
        "DESCOPE_MANAGEMENT_KEY",
        "DESCOPE_PUBLIC_KEY",
        "DESCOPE_FLOW_ID",
        "NEXT_PUBLIC_DESCOPE_PROJCT_ID",
        "PATH",
    ],
)
def test_known_name_causes_no_warning(name: str) -> None:
    """Settings, their files, variables of Descope's own tools, and other prefixes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Environment({name: "x"}).warn_of_unknown(SETTINGS)

    assert caught == []


def test_repr_of_the_environment_contains_no_value() -> None:
    """The environment may contain secrets (ST-05)."""
    assert "canary" not in repr(Environment({"DESCOPE_AUTH_MANAGEMENT_KEY": "canary"}))
