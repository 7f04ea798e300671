"""What the environment says: files, synonyms, and names that nobody reads."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from fastapi_descope._config.env import Environment, InvalidValue, UnknownSettingWarning

SETTINGS = ("project_id", "base_url", "auth_management_key", "leeway")

WriteFile = Callable[[bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    """A function that writes a file and returns its path."""

    def write_file(body: bytes) -> str:
        path = tmp_path / f"value-{len(list(tmp_path.iterdir()))}"
        path.write_bytes(body)
        return str(path)

    return write_file


def invalid_reason(value: str | InvalidValue) -> str:
    """The reason why a value is unusable."""
    assert isinstance(value, InvalidValue)
    return value.reason


def test_a_plain_variable_is_left_to_pydantic() -> None:
    """Nothing is added where the plain variable is all there is."""
    assert Environment({"DESCOPE_LEEWAY": "5", "PATH": "/bin"}).file_and_alias_values(SETTINGS) == {}


@pytest.mark.parametrize("name", ["DESCOPE_LEEWAY_FILE", "descope_leeway_file", "Descope_Leeway_File"])
def test_a_file_holds_the_value(write: WriteFile, name: str) -> None:
    """``DESCOPE_X_FILE`` gives the value of ``DESCOPE_X``, without the blanks around it."""
    assert Environment({name: write(b" 7\r\n")}).file_and_alias_values(SETTINGS) == {"leeway": "7"}


def test_base_uri_is_base_url() -> None:
    """The name that Descope's Python SDK reads works, also as a file."""
    found = Environment({"DESCOPE_BASE_URI": "https://a.example"}).file_and_alias_values(SETTINGS)

    assert found == {"base_url": "https://a.example"}


def test_base_uri_may_be_a_file(write: WriteFile) -> None:
    """A synonym has the same two forms as the name it stands for."""
    found = Environment({"DESCOPE_BASE_URI_FILE": write(b"https://a.example")}).file_and_alias_values(
        SETTINGS
    )

    assert found == {"base_url": "https://a.example"}


def test_one_value_may_be_given_twice(write: WriteFile) -> None:
    """Two spellings that agree are no contradiction."""
    url = "https://a.example"
    environment = Environment(
        {
            "DESCOPE_BASE_URL": url,
            "DESCOPE_BASE_URI": url,
            "DESCOPE_BASE_URL_FILE": write(url.encode()),
        }
    )

    assert environment.file_and_alias_values(SETTINGS) == {}


def test_two_values_are_refused(write: WriteFile) -> None:
    """Which of two values was meant cannot be known; the names are told, the values are not."""
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
def test_an_unreadable_path_is_told_without_the_path(path: str) -> None:
    """A missing file, a directory or a path that is none makes the setting unusable."""
    found = Environment({"DESCOPE_LEEWAY_FILE": path}).file_and_alias_values(SETTINGS)

    assert invalid_reason(found["leeway"]) == (
        "its file cannot be read as UTF-8 text; check its path and permissions"
    )


def test_a_file_must_be_text(write: WriteFile) -> None:
    """Bytes that are not UTF-8 are refused rather than guessed at."""
    found = Environment({"DESCOPE_LEEWAY_FILE": write(b"\xff\xfe7")}).file_and_alias_values(SETTINGS)

    assert "UTF-8" in invalid_reason(found["leeway"])


def test_a_file_has_a_limit(write: WriteFile) -> None:
    """64 KiB are read; one byte more is a wrong path, a log file most likely."""
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
def test_an_unknown_name_is_pointed_out(name: str, message: str) -> None:
    """The warning names the variable and the nearest real one, blames the caller, holds no value."""
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
def test_a_known_name_is_not(name: str) -> None:
    """Settings, their files, what Descope's own tools read, and foreign prefixes are silent."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Environment({name: "x"}).warn_of_unknown(SETTINGS)

    assert caught == []


def test_repr_holds_no_value() -> None:
    """The environment may hold secrets, so showing it shows none (ST-05)."""
    assert "canary" not in repr(Environment({"DESCOPE_AUTH_MANAGEMENT_KEY": "canary"}))
