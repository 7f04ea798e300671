"""The record of Descope's API: the requests that its SDKs send and the responses, as far as they are known.

The record is the JSON files in ``tests/contract/recorded``, by topic. Every entry names its source (PY for
the Python SDK, NODE for the Node SDK, D or SEED for Descope's documentation, NET for its OpenAPI as the .NET
SDK uses it, 3P for third parties, OURS for a request that no SDK sends) and its certainty:

* measured: observed with a published SDK.
* documented: in the documentation, the OpenAPI or the source of an SDK, or captured by a third party.
* inferred: follows from one of these.
* unknown: no source; the value is our choice.

Names, types, statuses and error codes are recorded. Users, ids and times in the examples are invented.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

__all__ = [
    "Exchange",
    "FieldRecord",
    "PageFields",
    "RecordedRequest",
    "RecordedResponse",
    "Sdk",
    "ShapeRecord",
    "TokenRecord",
    "error_exchanges",
    "exchanges",
    "exchanges_with_tokens",
    "fill_placeholders",
    "pages",
    "sdks",
    "shapes",
    "tokens",
]

_DIRECTORY = Path(__file__).parent / "recorded"
_NOT_EXCHANGES = {"pages", "sdks", "shapes", "tokens"}

Certainty = Literal["measured", "documented", "inferred", "unknown"]
JsonObject = dict[str, object]


class _Entry(BaseModel):
    """An entry of the record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordedRequest(_Entry):
    """A request as the SDK ``by`` sends it, without the headers that the SDK adds to every request."""

    by: str
    certainty: Certainty
    call: str
    bearer: str | None = None
    cookie: str | None = None
    query: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    body: JsonObject | None = None
    text: str | None = None


class RecordedResponse(_Entry):
    """A response. ``tokens`` maps placeholders in the body to names of recorded tokens."""

    status: int
    status_certainty: Certainty
    shape: str
    source: str
    certainty: Certainty
    body: object
    code_certainty: Certainty | None = None
    tokens: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    cookies: tuple[str, ...] = ()


class Exchange(_Entry):
    """Requests that get the same response in a project with these options, in the situation ``given``.

    ``section`` is a section of docs/wire-contract.md.
    """

    section: str
    given: str
    requests: tuple[RecordedRequest, ...] = Field(min_length=1)
    response: RecordedResponse
    project: JsonObject = Field(default_factory=dict)


class FieldRecord(_Entry):
    """A field of an object. ``needed_by`` lists the clients that break without it."""

    type: str
    source: str
    certainty: Certainty
    needed_by: str | None = None


class ShapeRecord(_Entry):
    """All fields that an object of this shape may have."""

    section: str
    fields: dict[str, FieldRecord]


class Sdk(_Entry):
    """The headers that an SDK sends with every request."""

    section: str
    certainty: Certainty
    headers: dict[str, str]


class PageFields(_Entry):
    """The fields of one endpoint that a page of Descope's documentation names.

    A request field starts with its place: ``bearer``, ``query`` or ``body``. A response field is a path, in
    which ``[]`` stands for the members of a list.
    """

    request: tuple[str, ...]
    response: tuple[str, ...]


class TokenRecord(_Entry):
    """Header and claims of a token. It inherits those of ``like``, except the claims in ``without``."""

    section: str
    source: str
    certainty: Certainty
    claims: JsonObject
    header: JsonObject = Field(default_factory=dict)
    like: str | None = None
    without: tuple[str, ...] = ()


@cache
def exchanges() -> Mapping[str, Exchange]:
    """Return every exchange by name."""
    adapter = TypeAdapter(dict[str, Exchange])
    result: dict[str, Exchange] = {}
    for file in sorted(_DIRECTORY.glob("*.json")):
        if file.stem not in _NOT_EXCHANGES:
            more = adapter.validate_json(file.read_text(encoding="utf-8"))
            assert not result.keys() & more.keys(), f"{file.name} repeats a name"
            result |= more
    return result


def exchanges_with_tokens() -> list[str]:
    """Return the names of the exchanges whose response contains tokens in the body."""
    return [
        name for name, each in exchanges().items() if {"session", "refresh"} & each.response.tokens.keys()
    ]


def error_exchanges() -> list[str]:
    """Return the names of the exchanges whose response is an error."""
    return [name for name, each in exchanges().items() if each.response.shape == "Error"]


@cache
def shapes() -> Mapping[str, ShapeRecord]:
    """Return every shape by name."""
    return TypeAdapter(dict[str, ShapeRecord]).validate_json(_read("shapes"))


@cache
def sdks() -> Mapping[str, Sdk]:
    """Return the SDKs by their source keys."""
    return TypeAdapter(dict[str, Sdk]).validate_json(_read("sdks"))


@cache
def tokens() -> Mapping[str, TokenRecord]:
    """Return every token by name, with inherited header and claims."""
    recorded = TypeAdapter(dict[str, TokenRecord]).validate_json(_read("tokens"))
    return {name: _inherit(token, recorded) for name, token in recorded.items()}


@cache
def pages() -> Mapping[str, Mapping[str, PageFields]]:
    """Return the fields of the documentation pages (SEED), by page and by endpoint."""
    return TypeAdapter(dict[str, dict[str, PageFields]]).validate_json(_read("pages"))


def fill_placeholders(template: object, values: Mapping[str, object]) -> object:
    """Replace placeholders such as ``{refresh}`` in JSON. A whole-string placeholder may become any type."""
    match template:
        case str():
            alone = template[1:-1] if template.startswith("{") else ""
            return values[alone] if alone in values else _fill_text(template, values)
        case dict():
            items = cast("dict[str, object]", template).items()
            return {name: fill_placeholders(value, values) for name, value in items}
        case list():
            return [fill_placeholders(value, values) for value in cast("list[object]", template)]
        case _:
            return template


def _fill_text(text: str, values: Mapping[str, object]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _read(name: str) -> str:
    return (_DIRECTORY / f"{name}.json").read_text(encoding="utf-8")


def _inherit(token: TokenRecord, recorded: Mapping[str, TokenRecord]) -> TokenRecord:
    if token.like is None:
        return token
    original = recorded[token.like]
    merged = original.claims | token.claims
    claims = {name: value for name, value in merged.items() if name not in token.without}
    return token.model_copy(update={"header": original.header, "claims": claims})
