"""``AuthSession.claims_as``: the claims as an instance of a model of the app."""

import copy
import dataclasses
import logging
import pickle
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Literal
from uuid import UUID

import pytest
from pydantic import AfterValidator, AliasPath, BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from typing_extensions import TypedDict  # for Pydantic, as long as there is Python 3.11

from fastapi_descope import ClaimsInvalid
from fastapi_descope._encoding import parse_strict_json
from fastapi_descope.session import AuthSession

_CLAIMS = b"""{
    "sub": "U2ada", "exp": 1900000000, "iat": 1800000000, "dct": "acme", "tenants": {"acme": {}},
    "plan": "team", "seats": 12, "serial": 18446744073709551615, "flags": ["beta", "export"],
    "since": "2026-01-31T09:00:00Z", "account": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "company": {"name": "Acme", "contacts": [{"name": "Ada", "mail": "ada@acme.example"}]}
}"""


class Plan(Enum):
    """The plans of an app."""

    TEAM = "team"
    FREE = "free"


class Contact(BaseModel):
    """A nested object."""

    model_config = ConfigDict(frozen=True)
    name: str
    mail: str


class Company(BaseModel):
    """A nested object with a list."""

    model_config = ConfigDict(frozen=True)
    name: str
    contacts: tuple[Contact, ...]


class AppClaims(BaseModel):
    """A strict and frozen model with each kind of field."""

    model_config = ConfigDict(frozen=True, strict=True)
    plan: Plan
    seats: int
    serial: int
    flags: frozenset[str]
    since: datetime
    account: UUID
    company: Company
    trial: bool = False


class Loose(BaseModel):
    """A model that can be changed."""

    plan: str
    flags: list[str]


@dataclass(frozen=True)
class AsDataclass:
    """A dataclass."""

    plan: str
    seats: int


class AsTypedDict(TypedDict):
    """A dict with known keys."""

    plan: str
    seats: int


def _session(**changes: object) -> AuthSession:
    claims: Mapping[str, object] = {**parse_strict_json(_CLAIMS), **changes}
    return AuthSession.from_claims(claims)


def _checked(calls: list[str]) -> type[BaseModel]:
    """Return a model that records each validation."""

    class Checked(BaseModel):
        plan: Annotated[str, AfterValidator(lambda plan: calls.append(plan) or plan)]

    return Checked


def test_claims_are_validated_as_json() -> None:
    """A strict model converts what JSON cannot express: enums, sets, tuples, dates and UUIDs."""
    claims = _session().claims_as(AppClaims)

    assert claims == AppClaims(
        plan=Plan.TEAM,
        seats=12,
        serial=18_446_744_073_709_551_615,
        flags=frozenset({"beta", "export"}),
        since=datetime(2026, 1, 31, 9, tzinfo=UTC),
        account=UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        company=Company(name="Acme", contacts=(Contact(name="Ada", mail="ada@acme.example"),)),
    )


def test_dataclasses_and_typed_dicts_are_models_too() -> None:
    """Pydantic validates them in the same way."""
    session = _session()

    assert session.claims_as(AsDataclass) == AsDataclass("team", 12)
    assert session.claims_as(AsTypedDict) == {"plan": "team", "seats": 12}


def test_claims_are_validated_once_for_each_session_and_model() -> None:
    """The result stays with the session, of which a process has one for each token."""
    calls: list[str] = []
    first, second, session = _checked(calls), _checked(calls), _session()

    assert [session.claims_as(first), session.claims_as(first), session.claims_as(second)]
    assert calls == ["team"] * 2
    _session().claims_as(first)
    assert calls == ["team"] * 3


def test_tv17_frozen_model_is_shared_and_any_other_is_copied() -> None:
    """A handler cannot change what another request with the same token sees."""
    session = _session()

    assert session.claims_as(AppClaims) is session.claims_as(AppClaims)
    assert session.claims_as(AsDataclass) is session.claims_as(AsDataclass)
    loose, other = session.claims_as(Loose), session.claims_as(AsTypedDict)
    loose.flags.append("admin")
    loose.plan = "enterprise"
    other["plan"] = "enterprise"

    assert session.claims_as(Loose) == Loose(plan="team", flags=["beta", "export"])
    assert session.claims_as(AsTypedDict)["plan"] == "team"


def test_tv17_frozen_model_with_a_list_is_copied() -> None:
    """Its fields cannot be assigned, but the list can be changed."""

    class Listed(BaseModel):
        model_config = ConfigDict(frozen=True)
        flags: list[str]

    session = _session()
    session.claims_as(Listed).flags.append("admin")

    assert session.claims_as(Listed).flags == ["beta", "export"]


def test_threads_get_the_same_model() -> None:
    """Sync endpoints run in threads, and may be the first to ask."""
    for _ in range(20):
        session = _session()
        with ThreadPoolExecutor(8) as threads:
            models = list(threads.map(session.claims_as, [AppClaims] * 16))
        assert all(model == models[0] for model in models)
        assert session.claims_as(AppClaims) is session.claims_as(AppClaims)


def test_validated_models_are_no_part_of_the_value() -> None:
    """Not of comparisons, repr, copies, pickles and serialised sessions. A copy validates again."""
    session, fresh = _session(), _session()
    shown = repr(session), dataclasses.asdict(session), pickle.dumps(session)
    session.claims_as(AppClaims)

    assert session == fresh
    assert (repr(session), dataclasses.asdict(session), pickle.dumps(session)) == shown
    assert "_models" not in TypeAdapter(AuthSession).dump_python(session)
    changed = dataclasses.replace(session, user=_session(plan="free").user)
    for other in (copy.copy(session), copy.deepcopy(session), pickle.loads(pickle.dumps(session))):  # noqa: S301 - ours
        assert other.claims_as(AppClaims) == session.claims_as(AppClaims)
    assert changed.claims_as(AppClaims).plan is Plan.FREE


class Narrow(BaseModel):
    """A model that the claims do not fit."""

    model_config = ConfigDict(extra="forbid")
    plan: Literal["free"]
    seats: str
    region: str
    company: dict[str, int]
    nick: str = Field(validation_alias=AliasPath("company", "nick"))


def test_claims_that_do_not_fit_name_the_fields(caplog: pytest.LogCaptureFixture) -> None:
    """The error and the log have the names that the model declares, and nothing of the token."""
    session = _session()

    with caplog.at_level(logging.WARNING), pytest.raises(ClaimsInvalid) as caught:
        session.claims_as(Narrow)

    error = caught.value
    assert (error.status, error.code, error.model) == (403, "claims_invalid", "Narrow")
    assert error.fields == ("company", "plan", "region", "seats", "(unknown claims)")
    assert str(error) == error.title
    assert error.__cause__ is None
    (line,) = (record.getMessage() for record in caplog.records)
    assert line == (
        "fastapi_descope: The claims of a session do not fit Narrow: company, plan, region, seats,"
        " (unknown claims). Requests that need them get a 403. The project's JWT template sets the claims"
    )


def test_claims_that_do_not_fit_are_logged_once_and_not_validated_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once for each set of fields, however many sessions and requests there are."""
    calls: list[str] = []

    class Once(BaseModel):
        plan: Annotated[str, AfterValidator(lambda plan: calls.append(plan) or plan)]
        region: str

    session = _session()
    for each in (session, session, _session()):
        with pytest.raises(ClaimsInvalid):
            each.claims_as(Once)
    with pytest.raises(ClaimsInvalid):
        _session(plan=7).claims_as(Once)

    assert calls == ["team"] * 2
    assert [record.getMessage().partition(": ")[2].partition(".")[0] for record in caplog.records] == [
        "The claims of a session do not fit Once: region",
        "The claims of a session do not fit Once: plan, region",
    ]


def test_model_that_rejects_the_combination_of_claims() -> None:
    """Such an error belongs to no field."""

    class Combined(BaseModel):
        plan: str

        @model_validator(mode="after")
        def check(self) -> "Combined":
            raise ValueError(self.plan)

    with pytest.raises(ClaimsInvalid) as caught:
        _session().claims_as(Combined)

    assert caught.value.fields == ("(model)",)


def test_error_of_a_validator_that_is_a_bug_is_raised_each_time() -> None:
    """It is no statement about the claims."""

    class Broken(BaseModel):
        plan: Annotated[str, AfterValidator(dict[str, str]().__getitem__)]

    session = _session()
    for _ in range(2):
        with pytest.raises(KeyError):
            session.claims_as(Broken)
