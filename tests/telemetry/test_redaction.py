"""Other people's log lines: what is blanked in them, and that the rest stays as it is."""

import io
import logging
import time
from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.logging import AccessFormatter

from fastapi_descope._telemetry.redaction import RedactLoginSecrets, install
from fastapi_descope.emulator import Emulator

REDACTED_LOGGERS = (
    "uvicorn.access",
    "uvicorn.error",
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
)


@pytest.fixture(scope="module")
def jwt() -> str:
    """A real session JWT."""
    return Emulator().issue("ada@acme.example").session_jwt


@pytest.fixture
def write() -> Callable[..., str]:
    """Writes one line to a logger of that name; the answer is what stands in the log."""

    def line(name: str, message: str, *arguments: object) -> str:
        out = io.StringIO()
        handler = logging.StreamHandler(out)
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.error(message, *arguments)
        logger.removeHandler(handler)
        return out.getvalue().removesuffix("\n")

    return line


@pytest.fixture
def installed() -> None:
    """Redaction is on, as it stays once it is."""
    install()


def redacted(message: object, *arguments: object) -> str:
    """The text of a record that went through the filter alone."""
    record = logging.LogRecord("x", logging.INFO, "", 0, message, arguments, None)
    assert RedactLoginSecrets().filter(record) is True
    return record.getMessage()


def access_line(path: str) -> str:
    """A request in uvicorn's access log, laid out by uvicorn's own formatter."""
    message = '%s - "%s %s HTTP/%s" %d'
    arguments = ("127.0.0.1:5", "GET", path, "1.1", 303)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, message, arguments, None)
    assert RedactLoginSecrets().filter(record)
    return AccessFormatter('%(client_addr)s "%(request_line)s"', use_colors=False).format(record)


def test_lg01_the_callback_in_the_access_log() -> None:
    """Code and state go, method, path and the names of the parameters stay (LG-01)."""
    line = access_line("/auth/callback?code=canary-code&state=canary-state&x=1")
    assert line == '127.0.0.1:5 "GET /auth/callback?code=[redacted]&state=[redacted]&x=1 HTTP/1.1"'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/callback?err=canary%20text", "/callback?err=[redacted]"),
        ("/callback?a=b&error_description=canary", "/callback?a=b&error_description=[redacted]"),
        ("/x?CODE=canary", "/x?CODE=[redacted]"),
        ("/x?access_token=canary&id_token=canary", "/x?access_token=[redacted]&id_token=[redacted]"),
        ("/x?jwt=canary", "/x?jwt=[redacted]"),
        ("/login/sso?login_hint=ada%40acme.example", "/login/sso?login_hint=[redacted]"),
        ("/login/sso?tenant=ada%40acme.example&a=b", "/login/sso?tenant=[redacted]&a=b"),
        ("/login/sso?tenant=ada@acme.example", "/login/sso?tenant=[redacted]"),
        ("/login/sso?return_to=%2Fback%3Fcode%3Dcanary", "/login/sso?return_to=%2Fback%3Fcode%3D[redacted]"),
        ("https://idp.example/a?state=canary#top", "https://idp.example/a?state=[redacted]#top"),
        ("<a href='/callback?code=canary'>", "<a href='/callback?code=[redacted]'>"),
    ],
)
def test_parameters(before: str, after: str) -> None:
    """The parameters that can hold a secret, wherever they stand."""
    assert redacted(before) == after
    assert redacted("%s", before) == after


@pytest.mark.parametrize(
    "line",
    [
        "GET /login/sso?tenant=acme&return_to=%2Freports",
        "/orders?postcode=123&barcode=456&estate=big",
        "/pay?code=",
        "code and state are words",
        "eyJust a sentence. With dots. And more.",
        "1.2.3.4 - www.example.org/a.b.c?version=1.2.3",
        "100% of 3 = 3",
    ],
)
def test_the_rest_stays(line: str) -> None:
    """Lines without secrets are untouched, percent signs included."""
    assert redacted(line) == line


def test_tokens_anywhere(jwt: str) -> None:
    """A JWT is blanked in headers, bearers, quotes and encoded queries, whatever its parameter is called."""
    assert redacted(f"authorization: Bearer P2abc:{jwt}") == "authorization: Bearer P2abc:[redacted]"
    assert redacted(f"(b'Set-Cookie', b'DS={jwt}; Path=/')") == "(b'Set-Cookie', b'DS=[redacted]; Path=/')"
    assert redacted(f"/x?next=%2F%3Ft%3D{jwt}&a=b") == "/x?next=%2F%3Ft%3D[redacted]&a=b"
    assert redacted("%s", f"{jwt},{jwt}") == "[redacted],[redacted]"


def test_arguments_keep_their_number_and_kind() -> None:
    """Formatters that take the arguments apart, and ``%d``, go on working."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s %d %.1f %s", ("?code=a", 200, 0.5, None), None)
    RedactLoginSecrets().filter(record)
    assert record.args == ("?code=[redacted]", 200, 0.5, None)
    assert record.getMessage() == "?code=[redacted] 200 0.5 None"


def test_arguments_by_name() -> None:
    """A mapping of arguments, as some servers log with, is redacted by value."""
    assert (
        redacted("%(path)s %(status)d", {"path": "/?state=canary", "status": 200}) == "/?state=[redacted] 200"
    )


def test_a_record_that_was_made_without_arguments() -> None:
    """Records from elsewhere, such as another process, may have none at all."""
    record = logging.makeLogRecord({"msg": "GET /?code=canary", "args": None})
    assert RedactLoginSecrets().filter(record)
    assert record.getMessage() == "GET /?code=[redacted]"


def test_objects_that_are_no_text() -> None:
    """A URL object, as httpx logs it, and a message that is an object are redacted when they are written."""
    url = httpx.URL("https://app.example/callback?code=canary&a=b")
    assert redacted("to %s or %r", url, url) == (
        "to https://app.example/callback?code=[redacted]&a=b"
        " or URL('https://app.example/callback?code=[redacted]&a=b')"
    )
    assert redacted(url) == "https://app.example/callback?code=[redacted]&a=b"


class _BrokenStr:
    """Something that cannot be shown."""

    def __str__(self) -> str:
        raise ZeroDivisionError


def test_never_raises() -> None:
    """An argument that cannot be shown passes: it fails where logging expects that, not in the filter."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (_BrokenStr(),), None)
    assert RedactLoginSecrets().filter(record)
    with pytest.raises(ZeroDivisionError):
        record.getMessage()


@given(st.text(), st.text())
def test_any_text_passes(message: str, argument: str) -> None:
    """No text makes the filter raise, drop the record, or change its mind the second time."""
    record = logging.LogRecord("x", logging.INFO, "", 0, message, (argument,), None)
    assert RedactLoginSecrets().filter(record)
    once = (record.msg, record.args)
    assert RedactLoginSecrets().filter(record)
    assert (record.msg, record.args) == once


@given(st.text("abcXYZ019-_.~%", min_size=1))
def test_no_code_survives(code: str) -> None:
    """Whatever a code is made of, none of it is left."""
    assert redacted(f"/callback?code={code}&x=1") == "/callback?code=[redacted]&x=1"


@pytest.mark.parametrize(
    "piece",
    ["eyJ", "?tenant=", "&code", "a.", "a%3F", "eyJa.", "?tenant=@", ".", "%", "?_token", "-.eyJ", "a.a"],
)
def test_hostile_lines_take_no_time(piece: str) -> None:
    """A URL of 64 KB made to be searched again and again costs less than a quarter of a second."""
    line = "=eyJ " + piece * (65_536 // len(piece)) + "!"
    began = time.process_time()
    redacted(line)
    assert time.process_time() - began < 0.25


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", REDACTED_LOGGERS)
def test_installed(write: Callable[..., str], name: str) -> None:
    """The named loggers are redacted, and so are the children that httpcore logs by."""
    assert write(name, "GET %s", "/callback?code=canary") == "GET /callback?code=[redacted]"


@pytest.mark.usefixtures("installed")
def test_other_loggers_are_none_of_our_business(write: Callable[..., str]) -> None:
    """The app's own lines are never touched."""
    assert write("shop.orders", "GET %s", "/x?code=VOUCHER") == "GET /x?code=VOUCHER"


def test_installed_twice_is_once() -> None:
    """Two apps in one process share one filter, so that no line is looked at twice."""
    install()
    before = [list(logging.getLogger(name).filters) for name in REDACTED_LOGGERS]
    install()
    assert [logging.getLogger(name).filters for name in REDACTED_LOGGERS] == before
