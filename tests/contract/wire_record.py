"""The record of Descope's wire: what its SDKs send, and what it answers, as far as anybody wrote it down.

``tests/contract/recorded`` holds it, sorted by what it is about. Every entry names its source (the Python
SDK is PY, the Node SDK NODE, Descope's documentation D or SEED, its OpenAPI by way of the .NET SDK NET,
third parties 3P; OURS is nobody's) and how certain it is:

* measured: a published SDK was watched.
* documented: in the documentation, the OpenAPI or the source of an SDK, or captured by a third party.
* inferred: follows from one of these.
* unknown: nobody says; what stands there is our choice.

Recorded are names, types, statuses and codes. The people, ids and times in the examples are made up.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

__all__ = [
    "Answer",
    "Exchange",
    "FieldRecord",
    "Sdk",
    "Sent",
    "ShapeRecord",
    "TokenRecord",
    "exchanges",
    "filled",
    "refusals",
    "sdks",
    "shapes",
    "tokens",
    "with_tokens",
]

_FOLDER = Path(__file__).parent / "recorded"
_NOT_EXCHANGES = {"sdks", "shapes", "tokens"}

Certainty = Literal["measured", "documented", "inferred", "unknown"]
JsonObject = dict[str, object]


class _Entry(BaseModel):
    """Part of the record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sent(_Entry):
    """One request, the way ``by`` sends it; its SDK's headers come on top. No body at all is None."""

    by: str
    certainty: Certainty
    call: str
    bearer: str | None = None
    cookie: str | None = None
    query: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    body: JsonObject | None = None
    text: str | None = None


class Answer(_Entry):
    """What comes back. ``tokens`` says what the placeholders in the body stand for."""

    status: int
    status_is: Certainty
    shape: str
    source: str
    certainty: Certainty
    body: object
    code_is: Certainty | None = None
    tokens: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    cookies: tuple[str, ...] = ()


class Exchange(_Entry):
    """Requests that get the same answer, in a project with these options, given something.

    ``section`` is the wire contract's.
    """

    section: str
    given: str
    sends: tuple[Sent, ...] = Field(min_length=1)
    answer: Answer
    project: JsonObject = Field(default_factory=dict)


class FieldRecord(_Entry):
    """A field of an object. ``needed_by`` are the clients that break without it."""

    type: str
    source: str
    certainty: Certainty
    needed_by: str | None = None


class ShapeRecord(_Entry):
    """All fields that an object of this name may have."""

    section: str
    fields: dict[str, FieldRecord]


class Sdk(_Entry):
    """The headers that an SDK sends with every request."""

    section: str
    certainty: Certainty
    headers: dict[str, str]


class TokenRecord(_Entry):
    """Header and claims of a token. ``like`` another, with other claims and ``without`` some."""

    section: str
    source: str
    certainty: Certainty
    claims: JsonObject
    header: JsonObject = Field(default_factory=dict)
    like: str | None = None
    without: tuple[str, ...] = ()


@cache
def exchanges() -> Mapping[str, Exchange]:
    """Every exchange by its name, which says what is asked."""
    adapter = TypeAdapter(dict[str, Exchange])
    found: dict[str, Exchange] = {}
    for file in sorted(_FOLDER.glob("*.json")):
        if file.stem not in _NOT_EXCHANGES:
            more = adapter.validate_json(file.read_text(encoding="utf-8"))
            assert not found.keys() & more.keys(), f"{file.name} repeats a name"
            found |= more
    return found


def with_tokens() -> list[str]:
    """The names of those that answer with a session in the body."""
    return [name for name, each in exchanges().items() if {"session", "refresh"} & each.answer.tokens.keys()]


def refusals() -> list[str]:
    """The names of those that answer with an error."""
    return [name for name, each in exchanges().items() if each.answer.shape == "Error"]


@cache
def shapes() -> Mapping[str, ShapeRecord]:
    """Every shape by its name."""
    return TypeAdapter(dict[str, ShapeRecord]).validate_json(_text("shapes"))


@cache
def sdks() -> Mapping[str, Sdk]:
    """The SDKs by their source keys."""
    return TypeAdapter(dict[str, Sdk]).validate_json(_text("sdks"))


@cache
def tokens() -> Mapping[str, TokenRecord]:
    """Every token by its name, with what it takes from another filled in."""
    written = TypeAdapter(dict[str, TokenRecord]).validate_json(_text("tokens"))
    return {name: _whole(token, written) for name, token in written.items()}


def filled(part: object, values: Mapping[str, object]) -> object:
    """JSON with placeholders such as ``{refresh}`` replaced; one that stands alone may become anything."""
    match part:
        case str():
            alone = part[1:-1] if part.startswith("{") else ""
            return values[alone] if alone in values else _text_filled(part, values)
        case dict():
            items = cast("dict[str, object]", part).items()
            return {name: filled(value, values) for name, value in items}
        case list():
            return [filled(value, values) for value in cast("list[object]", part)]
        case _:
            return part


def _text_filled(text: str, values: Mapping[str, object]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.json").read_text(encoding="utf-8")


def _whole(token: TokenRecord, written: Mapping[str, TokenRecord]) -> TokenRecord:
    if token.like is None:
        return token
    original = written[token.like]
    together = original.claims | token.claims
    claims = {name: value for name, value in together.items() if name not in token.without}
    return token.model_copy(update={"header": original.header, "claims": claims})
