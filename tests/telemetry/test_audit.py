"""The audit stream: one valid OCSF record for each event, for handlers of its own logger only."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import jsonschema_rs
import pytest

from fastapi_descope import events
from fastapi_descope._telemetry.audit import AuditLog
from fastapi_descope._telemetry.recorder import Recorder
from fastapi_descope.events import Event
from fastapi_descope.session import UNKNOWN_ACTOR
from tests.helpers.app_harness import EnvFactory
from tests.helpers.auth_harness import ADA_ID
from tests.telemetry.test_recorder import ACTOR, SAMPLES, TENANT, USER

NAME = "fastapi_descope.audit"
NOW = 1_800_000_000.25

# The subset of OCSF 1.8.0 that the records use: events/base_event.json, events/iam/authentication.json, and
# the objects metadata, product, user, actor, organization and service of its schema. Other attributes are
# errors.
_TEXT: Mapping[str, object] = {"type": "string", "minLength": 1}
_ENTITY: Mapping[str, object] = {
    "type": "object",
    "properties": {"name": _TEXT, "uid": _TEXT},
    "minProperties": 1,
    "additionalProperties": False,
}
_BASE: Mapping[str, object] = {
    "metadata": {
        "type": "object",
        "properties": {
            "version": {"const": "1.8.0"},
            "uid": _TEXT,
            "event_code": _TEXT,
            "log_name": {"const": NAME},
            "log_version": {"const": "1"},
            "product": {
                "type": "object",
                "properties": {"name": _TEXT, "vendor_name": _TEXT, "version": _TEXT},
                "required": ["name", "vendor_name", "version"],
                "additionalProperties": False,
            },
        },
        "required": ["version", "product", "event_code", "uid", "log_name", "log_version"],
        "additionalProperties": False,
    },
    "time": {"type": "integer", "minimum": 1_000_000_000_000},
    "activity_name": _TEXT,
    "severity_id": {"enum": [1, 2, 3, 4, 5, 6]},
    "status_id": {"enum": [0, 1, 2]},
    "status_code": _TEXT,
    "status_detail": _TEXT,
    "unmapped": {"type": "object", "minProperties": 1},
}
_REQUIRED = ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"]
_USER: Mapping[str, object] = {
    "type": "object",
    "properties": {"type_id": {"enum": [0, 1]}, "name": _TEXT, "uid": _TEXT, "org": _ENTITY},
    "required": ["type_id"],
    "anyOf": [{"required": ["name"]}, {"required": ["uid"]}],
    "additionalProperties": False,
}
_AUTHENTICATION: Mapping[str, object] = {
    "properties": {
        **_BASE,
        "category_uid": {"const": 3},
        "class_uid": {"const": 3002},
        "activity_id": {"enum": [1, 2, 6, 99]},
        "type_uid": {"enum": [300201, 300202, 300206, 300299]},
        "service": _ENTITY,
        "user": _USER,
        "actor": {
            "type": "object",
            "properties": {"user": _USER},
            "required": ["user"],
            "additionalProperties": False,
        },
    },
    "required": [*_REQUIRED, "user", "service"],
    "additionalProperties": False,
}
_BASE_EVENT: Mapping[str, object] = {
    "properties": {
        **_BASE,
        "category_uid": {"const": 0},
        "class_uid": {"const": 0},
        "activity_id": {"const": 99},
        "type_uid": {"const": 99},
    },
    "required": _REQUIRED,
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class _AppEvent(Event):
    """An event class of an app."""

    name = "invoice_paid"
    amount: int
    note: str
    reason: object


class _Lines(logging.Handler):
    """A handler that keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.records.append(record)

    def last(self) -> dict[str, Any]:
        """Return the JSON object of the last line."""
        return cast("dict[str, Any]", json.loads(self.records[-1].getMessage()))


@pytest.fixture
def lines() -> Iterator[_Lines]:
    """Turn the stream on, as an app does."""
    logger, handler = logging.getLogger(NAME), _Lines()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


def _recorder() -> Recorder:
    audit = AuditLog(service="https://app.example.com", project_id="P2canary", clock=lambda: NOW)
    return Recorder(audit=audit)


def _errors(record: Mapping[str, Any]) -> list[str]:
    schema = _AUTHENTICATION if record["class_uid"] else _BASE_EVENT
    return [str(error) for error in jsonschema_rs.validator_for(dict(schema)).iter_errors(dict(record))]


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: event.name)
def test_each_event_is_one_line_that_is_valid_in_the_schema(lines: _Lines, event: Event) -> None:
    """The record has no attribute that is not in the schema of its class."""
    _recorder()(event)

    (line,) = lines.records
    record = lines.last()
    assert _errors(record) == []
    assert (line.levelno, line.name, "\n" in line.getMessage()) == (logging.INFO, NAME, False)
    assert vars(line)["ocsf"] == record
    assert record["metadata"]["event_code"] == event.name
    assert record["time"] == int(NOW * 1000)
    assert record["type_uid"] == record["class_uid"] * 100 + record["activity_id"]


def test_sign_in_is_a_logon_of_the_user_in_the_tenant(lines: _Lines) -> None:
    """A SIEM finds it without knowing this package."""
    _recorder()(events.SignedIn(USER, TENANT, first_seen=True))

    record = lines.last()
    assert record["metadata"].pop("uid")
    assert record["metadata"].pop("product")["name"] == "fastapi-descope"
    assert record == {
        "metadata": {"version": "1.8.0", "event_code": "signed_in", "log_name": NAME, "log_version": "1"},
        "time": 1_800_000_000_250,
        "category_uid": 3,
        "class_uid": 3002,
        "activity_id": 1,
        "activity_name": "Logon",
        "type_uid": 300201,
        "severity_id": 1,
        "status_id": 1,
        "service": {"name": "https://app.example.com", "uid": "P2canary"},
        "user": {"type_id": 1, "uid": USER, "org": {"uid": TENANT}},
        "unmapped": {"first_seen": True, "method": "sso"},
    }


@pytest.mark.parametrize(
    ("actor", "shown"),
    [
        (ACTOR, {"type_id": 1, "uid": ACTOR}),
        (UNKNOWN_ACTOR, {"type_id": 0, "name": "unknown"}),
        ("sue@support.example", {"type_id": 1, "uid": "(address)"}),
    ],
)
def test_im05_actor_is_the_user_of_the_actor_object(
    lines: _Lines, actor: str, shown: Mapping[str, object]
) -> None:
    """The user of the record is the one who is impersonated. Without an actor there is no such object."""
    _recorder()(events.TenantSwitched(USER, TENANT, actor))
    record = lines.last()
    assert record["user"] == {"type_id": 1, "uid": USER, "org": {"uid": TENANT}}
    assert record["actor"] == {"user": shown}
    assert "unmapped" not in record

    _recorder()(events.TenantSwitched(USER, TENANT))
    assert "actor" not in lines.last()


def test_failed_login_has_the_reason_and_the_code_of_descope(lines: _Lines) -> None:
    """The user is unknown, which the schema wants said."""
    _recorder()(events.LoginFailed("code_refused", 401, "E061102"))

    record = lines.last()
    assert (record["activity_id"], record["status_id"], record["severity_id"]) == (1, 2, 2)
    assert (record["status_detail"], record["status_code"]) == ("code_refused", "E061102")
    assert record["user"] == {"type_id": 0, "name": "unknown"}
    assert record["unmapped"] == {"upstream_status": 401}


def test_logout_is_a_logoff_of_the_user(lines: _Lines) -> None:
    """Whether Descope has confirmed it is in ``unmapped``."""
    _recorder()(events.SignedOut(everywhere=True, confirmed=False, user_id=USER))

    record = lines.last()
    assert (record["activity_name"], record["type_uid"]) == ("Logoff", 300202)
    assert record["user"] == {"type_id": 1, "uid": USER}
    assert record["unmapped"] == {"everywhere": True, "confirmed": False}


def test_event_of_an_app_is_a_base_event_with_its_fields(lines: _Lines) -> None:
    """No field of it is taken for one of ours."""
    _recorder()(_AppEvent(12, "a\nb", ValueError("x")))

    record = lines.last()
    assert _errors(record) == []
    assert (record["class_uid"], record["activity_name"], record["status_id"]) == (0, "invoice_paid", 0)
    assert record["unmapped"] == {"amount": 12, "note": "a\\nb", "reason": "x"}


def test_lg03_address_as_a_user_id_is_not_in_the_stream(lines: _Lines) -> None:
    """A JWT template can make it the user id (LG-03)."""
    _recorder()(events.SessionRefreshed("ada@acme.example", "acme"))
    assert lines.last()["user"]["uid"] == "(address)"


def test_lg10_stream_is_off_until_its_logger_has_a_level(caplog: pytest.LogCaptureFixture) -> None:
    """An app that logs everything to its console does not print user ids there (LG-10)."""
    handler = _Lines()
    root = logging.getLogger()
    root.addHandler(handler)
    caplog.set_level(logging.DEBUG)
    try:
        _recorder()(events.SignedIn(USER, TENANT, first_seen=False))
    finally:
        root.removeHandler(handler)
    assert NAME not in {record.name for record in [*handler.records, *caplog.records]}


def test_lg10_stream_does_not_reach_the_handlers_of_other_loggers(lines: _Lines) -> None:
    """They get the line of the event only (LG-10)."""
    handler, root = _Lines(), logging.getLogger()
    root.addHandler(handler)
    try:
        _recorder()(events.RefreshRefused("E064001"))
    finally:
        root.removeHandler(handler)
    assert [record.name for record in handler.records] == ["fastapi_descope.events"]
    assert len(lines.records) == 1


def test_level_above_info_turns_the_stream_off(lines: _Lines) -> None:
    """Every record is at INFO."""
    logging.getLogger(NAME).setLevel(logging.WARNING)
    _recorder()(events.RefreshRefused("E064001"))
    assert lines.records == []


@pytest.mark.anyio
async def test_lg10_failing_sink_breaks_no_login(make_env: EnvFactory, lines: _Lines) -> None:
    """The bus logs the exception, and the response is as usual (LG-10)."""

    class _Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("the disk is full")

    broken = _Broken()
    logging.getLogger(NAME).addHandler(broken)
    try:
        response = await make_env().browser().sign_in()
    finally:
        logging.getLogger(NAME).removeHandler(broken)
    assert response.headers["location"] == "/me"
    assert len(lines.records) >= 2


@pytest.mark.anyio
async def test_journey_of_an_app_is_in_the_stream(make_env: EnvFactory, lines: _Lines) -> None:
    """Login, refresh, tenant switch and logout, with the user and the address of the app."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)
    await browser.get("/me")
    await browser.post("/tenant/select", {"tenant": "globex"})
    await browser.post("/logout")

    records = [cast("dict[str, Any]", json.loads(line.getMessage())) for line in lines.records]
    activities = [each["activity_name"] for each in records if each["activity_name"] != "Key Fetch"]
    assert activities == [
        "Preauth",
        "Logon",
        "Session Refresh",
        "Tenant Switch",
        "Logoff",
    ]
    assert {each["user"].get("uid") for each in records if "user" in each} == {None, ADA_ID}
    assert {each["service"]["name"] for each in records if "service" in each} == {"http://127.0.0.1:8000"}
    assert len({each["metadata"]["uid"] for each in records}) == len(records)
