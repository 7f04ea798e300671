"""The generated parts of pages: ``<!-- generated: name -->`` becomes the result of the function ``name``."""

import ast
import inspect
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from textwrap import dedent
from typing import Any

from _pytest.fixtures import FixtureFunctionDefinition
from fastapi import FastAPI
from pydantic import SecretStr

from fastapi_descope import Descope, DescopeSettings, PageTexts, errors, events, pytest_plugin

__all__ = ["GENERATED", "error_codes", "event_records", "setting_meanings"]


def setting_meanings() -> dict[str, str]:
    """Return the docstring of each setting, by name. A setting without one is missing."""
    body = next(
        node.body
        for node in ast.parse(inspect.getsource(DescopeSettings)).body
        if isinstance(node, ast.ClassDef)
    )
    meanings: dict[str, str] = {}
    for field, following in itertools.pairwise(body):
        match field, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as meaning)),
            ):
                meanings[name] = _one_line(meaning)
            case _:
                pass
    return meanings


def event_records() -> list[type[events.Event]]:
    """Return the classes of events, in alphabetical order."""
    values = [getattr(events, name) for name in events.__all__]
    return [value for value in values if isinstance(value, type) and issubclass(value, events.Event)]


def error_codes() -> dict[str, type[errors.DescopeError]]:
    """Return the class that introduces each error code, in the order of the module."""
    codes: dict[str, type[errors.DescopeError]] = {}
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, errors.DescopeError):
            codes.setdefault(value.code, value)
    return codes


def _settings() -> str:
    meanings = setting_meanings()
    rows = [
        (
            f'<span id="{name}">`DESCOPE_{name.upper()}`</span>',
            _default(name),
            f"{meanings[name]}<br>Value: {field.description}.",
        )
        for name, field in DescopeSettings.model_fields.items()
    ]
    return _table(("variable", "default", "meaning"), rows)


def _default(name: str) -> str:
    field = DescopeSettings.model_fields[name]
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "from the project id"
    if name == "cookie_secure":
        return "`auto`"
    match field.default:
        case None | ():
            return "none"
        case ("sso",):
            return "`sso`"
        case bool() as flag:
            return f"`{str(flag).lower()}`"
        case value:
            return f"`{value}`"


def _events() -> str:
    rows = [
        (
            f"[`{record.__name__}`][fastapi_descope.events.{record.__name__}]<br>`{record.name}`",
            _first_sentence(record),
            ", ".join(f"`{field.name}`" for field in fields(record)) or "none",
        )
        for record in event_records()
        if record is not events.Event
    ]
    return _table(("event and its stable name", "when", "fields"), rows)


def _page_texts() -> str:
    rows = [
        (f"`{each.name}`", each.default.replace("{", "&#123;"))
        for each in fields(PageTexts)
        if isinstance(each.default, str)
    ]
    details = [(f'`details["{code}"]`', text) for code, text in PageTexts().details.items()]
    return _table(("field", "text"), [*rows, *details])


def _errors() -> str:
    rows = [
        (f"[`{code}`]({code}.md)", str(cls.status), cls.title, f"`{cls.__name__}`")
        for code, cls in error_codes().items()
    ]
    return _table(("code", "status", "title", "class"), rows)


def _error_tree() -> str:
    """Return the tree in the docstring of the module: the paragraph that is indented."""
    paragraphs = (inspect.getdoc(errors) or "").split("\n\n")
    return next(f"```text\n{dedent(each)}\n```" for each in paragraphs if each.startswith("    "))


def _fixtures() -> str:
    found = [
        (name, value)
        for name, value in vars(pytest_plugin).items()
        if isinstance(value, FixtureFunctionDefinition)
    ]
    rows = [(f"`{name}`", _one_line(inspect.getdoc(value) or "")) for name, value in found]
    return _table(("fixture", "value"), rows)


def _routes() -> str:
    settings = DescopeSettings(
        project_id="P" + "a" * 27,
        login_methods=["sso", "magiclink", "notp", "flow", "oauth:PROVIDER"],
        resource="https://api.example.com",
        webhook_secret=SecretStr("a" * 16),
    )
    app = FastAPI()
    Descope(app, settings=settings)
    document = app.openapi()
    routes = [
        _route(f"{method.upper()} {path}", operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    used = sorted(set(re.findall(r"\(`(\w+)`\)", "".join(routes))) - {"any"})
    bodies = [_body(name, document["components"]["schemas"][name]) for name in used]
    return "\n\n".join([*routes, "## Bodies", *bodies])


def _route(name: str, operation: Mapping[str, Any]) -> str:
    parts = [f"## {name}", operation.get("description") or operation["summary"]]
    if parameters := operation.get("parameters"):
        rows = [(f"`{each['name']}`", each["in"], each.get("description", "")) for each in parameters]
        parts.append(_table(("parameter", "in", "meaning"), rows))
    rows = [
        (status, _one_line(response["description"]), _media(response))
        for status, response in operation["responses"].items()
    ]
    parts.append(_table(("status", "when", "body"), rows))
    return "\n\n".join(parts)


def _media(response: Mapping[str, Any]) -> str:
    """Return the media types of a response, each with the name of its schema."""
    content: Mapping[str, Any] = response.get("content", {})
    return ", ".join(f"{media} ({_type(body.get('schema', {}))})" for media, body in content.items())


def _body(name: str, schema: Mapping[str, Any]) -> str:
    rows = [
        (f"`{field}`", _type(value), value.get("description", ""))
        for field, value in schema["properties"].items()
    ]
    intro = _one_line(schema.get("description", ""))
    return f"### {name}\n\n{intro}\n\n{_table(('field', 'type', 'meaning'), rows)}"


def _type(schema: Mapping[str, Any]) -> str:
    """Return a JSON schema as a short type: ``string or null``, ``array of string``."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    kind = str(schema.get("type", "any"))
    inner: Mapping[str, Any] | bool | None = schema.get("items") or schema.get("additionalProperties")
    return f"{kind} of {_type(inner)}" if isinstance(inner, Mapping) else kind


def _first_sentence(cls: type) -> str:
    text = _one_line(inspect.getdoc(cls) or "")
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


GENERATED: Mapping[str, Callable[[], str]] = {
    "settings": _settings,
    "events": _events,
    "errors": _errors,
    "error_tree": _error_tree,
    "fixtures": _fixtures,
    "page_texts": _page_texts,
    "routes": _routes,
}
