"""Redaction in the logs of servers and HTTP libraries."""

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
    """Return a genuine session JWT."""
    return Emulator().issue("ada@acme.example").session_jwt


@pytest.fixture
def write() -> Callable[..., str]:
    """Return a function that writes one line to a logger and returns the logged text."""

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
    """Install the filter, which stays installed."""
    install()


def redacted(message: object, *arguments: object) -> str:
    """Return the text of a record after the filter."""
    record = logging.LogRecord("x", logging.INFO, "", 0, message, arguments, None)
    assert RedactLoginSecrets().filter(record) is True
    return record.getMessage()


def access_line(path: str) -> str:
    """Return a line of uvicorn's access log, formatted by uvicorn."""
    message = '%s - "%s %s HTTP/%s" %d'
    arguments = ("127.0.0.1:5", "GET", path, "1.1", 303)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, message, arguments, None)
    assert RedactLoginSecrets().filter(record)
    return AccessFormatter('%(client_addr)s "%(request_line)s"', use_colors=False).format(record)


def test_lg01_callback_in_the_access_log_is_redacted() -> None:
    """Method, path and parameter names stay (LG-01)."""
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
        ("/v1/auth/sso/authorize?loginHint=canary", "/v1/auth/sso/authorize?loginHint=[redacted]"),
        ("/login/sso?tenant=ada%40acme.example&a=b", "/login/sso?tenant=[redacted]&a=b"),
        ("/login/sso?tenant=ada@acme.example", "/login/sso?tenant=[redacted]"),
        ("/login/sso?return_to=%2Fback%3Fcode%3Dcanary", "/login/sso?return_to=%2Fback%3Fcode%3D[redacted]"),
        ("https://idp.example/a?state=canary#top", "https://idp.example/a?state=[redacted]#top"),
        ("<a href='/callback?code=canary'>", "<a href='/callback?code=[redacted]'>"),
        ("/callback?code=can'ary\"ca<n>ary&x=1", "/callback?code=[redacted]&x=1"),
        ("{'url': '/callback?state=canary', 'x': 1}", "{'url': '/callback?state=[redacted]', 'x': 1}"),
        (
            "/login/magiclink/verify?state=canary&return_to=%2Fme&t=canary",
            "/login/magiclink/verify?state=[redacted]&return_to=%2Fme&t=[redacted]",
        ),
        ("/auth/login/magiclink/verify?t=canary&x=1", "/auth/login/magiclink/verify?t=[redacted]&x=1"),
        ("/login/magiclink/verify?%74=canary'", "/login/magiclink/verify?%74=[redacted]'"),
        ("/feed?t=1700000000", "/feed?t=1700000000"),
        ("/callback?%63ode=canary&st%61te=canary", "/callback?%63ode=[redacted]&st%61te=[redacted]"),
        ("/callback?%43O%64E=canary", "/callback?%43O%64E=[redacted]"),
        ("/x?return_to=%2Fy%3F%2563ode%3Dcanary", "/x?return_to=%2Fy%3F%2563ode%3D[redacted]"),
        ("/x?%61ccess_t%6fken=canary", "/x?%61ccess_t%6fken=[redacted]"),
        ("/login/sso?tenant=o'neil@acme.example", "/login/sso?tenant=[redacted]"),
        ("/login/sso?ten%61nt=ada%2540acme.example&a=b", "/login/sso?ten%61nt=[redacted]&a=b"),
    ],
)
def test_parameters_with_secrets_are_redacted(before: str, after: str) -> None:
    """They are redacted anywhere in the text."""
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
def test_lines_without_secrets_do_not_change(line: str) -> None:
    """This includes lines with percent signs."""
    assert redacted(line) == line


def test_jwts_are_redacted_anywhere(jwt: str) -> None:
    """Headers, bearers, quotes and encoded queries may contain them, in any parameter."""
    assert redacted(f"authorization: Bearer P2abc:{jwt}") == "authorization: Bearer P2abc:[redacted]"
    assert redacted(f"(b'Set-Cookie', b'DS={jwt}; Path=/')") == "(b'Set-Cookie', b'DS=[redacted]; Path=/')"
    assert redacted(f"/x?next=%2F%3Ft%3D{jwt}&a=b") == "/x?next=%2F%3Ft%3D[redacted]&a=b"
    assert redacted("%s", f"{jwt},{jwt}") == "[redacted],[redacted]"


def test_arguments_keep_their_number_and_types() -> None:
    """Formatters that read the arguments, and ``%d``, still work."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s %d %.1f %s", ("?code=a", 200, 0.5, None), None)
    RedactLoginSecrets().filter(record)
    assert record.args == ("?code=[redacted]", 200, 0.5, None)
    assert record.getMessage() == "?code=[redacted] 200 0.5 None"


def test_named_arguments_are_redacted() -> None:
    """Some servers log a mapping of arguments."""
    assert (
        redacted("%(path)s %(status)d", {"path": "/?state=canary", "status": 200}) == "/?state=[redacted] 200"
    )


def test_record_without_arguments_is_redacted() -> None:
    """Records of another process may have no arguments."""
    record = logging.makeLogRecord({"msg": "GET /?code=canary", "args": None})
    assert RedactLoginSecrets().filter(record)
    assert record.getMessage() == "GET /?code=[redacted]"


def test_objects_are_redacted_when_they_are_formatted() -> None:
    """URL objects, which httpx logs, and messages that are objects are redacted, too."""
    url = httpx.URL("https://app.example/callback?code=canary&a=b")
    assert redacted("to %s or %r", url, url) == (
        "to https://app.example/callback?code=[redacted]&a=b"
        " or URL('https://app.example/callback?code=[redacted]&a=b')"
    )
    assert redacted(url) == "https://app.example/callback?code=[redacted]&a=b"


class _BrokenStr:
    """An object whose ``__str__`` raises."""

    def __str__(self) -> str:
        raise ZeroDivisionError


def test_filter_does_not_raise_for_a_broken_str() -> None:
    """The exception is raised where logging handles it."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (_BrokenStr(),), None)
    assert RedactLoginSecrets().filter(record)
    with pytest.raises(ZeroDivisionError):
        record.getMessage()


@given(st.text(), st.text())
def test_filter_passes_any_text_and_is_idempotent(message: str, argument: str) -> None:
    """No text makes it raise or drop the record."""
    record = logging.LogRecord("x", logging.INFO, "", 0, message, (argument,), None)
    assert RedactLoginSecrets().filter(record)
    once = (record.msg, record.args)
    assert RedactLoginSecrets().filter(record)
    assert (record.msg, record.args) == once


@given(st.text("abcXYZ019-_.~%", min_size=1))
def test_every_code_is_redacted_completely(code: str) -> None:
    """The code may consist of any characters."""
    assert redacted(f"/callback?code={code}&x=1") == "/callback?code=[redacted]&x=1"


@given(st.text("abcXYZ019-_.~%", min_size=1), st.text("abc=&;%-", max_size=20))
def test_ml02_every_token_of_a_link_is_redacted_completely(token: str, before: str) -> None:
    """Whatever parameters Descope or a client puts before it."""
    line = redacted(f"/login/magiclink/verify?{before}&t={token}&x=1")
    assert line.endswith("&t=[redacted]&x=1")


@pytest.mark.parametrize(
    "piece",
    [
        "eyJ",
        "?tenant=",
        "&code",
        "a.",
        "a%3F",
        "eyJa.",
        "?tenant=@",
        ".",
        "%",
        "?_token",
        "-.eyJ",
        "a.a",
        "/magiclink/verify?",
        "/magiclink/verify?a&",
    ],
)
def test_hostile_lines_are_redacted_in_linear_time(piece: str) -> None:
    """A hostile URL of 64 KB takes less than a second; it takes some hundredths."""
    line = "=eyJ " + piece * (65_536 // len(piece)) + "!"
    began = time.process_time()
    redacted(line)
    assert time.process_time() - began < 1


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", REDACTED_LOGGERS)
def test_install_redacts_the_named_loggers(write: Callable[..., str], name: str) -> None:
    """This includes the child loggers of httpcore."""
    assert write(name, "GET %s", "/callback?code=canary") == "GET /callback?code=[redacted]"


@pytest.mark.usefixtures("installed")
def test_other_loggers_are_not_redacted(write: Callable[..., str]) -> None:
    """The app's own lines do not change."""
    assert write("shop.orders", "GET %s", "/x?code=VOUCHER") == "GET /x?code=VOUCHER"


def test_install_is_idempotent() -> None:
    """Two apps of a process share one filter."""
    install()
    before = [list(logging.getLogger(name).filters) for name in REDACTED_LOGGERS]
    install()
    assert [logging.getLogger(name).filters for name in REDACTED_LOGGERS] == before
