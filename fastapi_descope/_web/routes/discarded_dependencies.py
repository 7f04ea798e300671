"""Finds dependencies that code uses without effect: returned, or called without ``await``.

    def admins_only():
        return require_roles("admin")  # FastAPI discards it

Such a route is open. A factory that is called while a request is handled raises an error, but only then. This
module reads the code of handlers and dependencies at start-up.
"""

# TN-14

import ast
import inspect
import linecache
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Self, cast

from fastapi import Depends, Security

from ..dependencies import get_auth_session, get_user_profile
from ..openapi import OptionalSessionScheme, SessionScheme
from ..parameter_guard import FACTORY_IN_REQUEST, is_dependency_factory

__all__ = ["discarded_dependency", "is_dependency"]

_DECORATOR = re.compile(r"\s*@\s*([\w.]+)")
_DEFINITION = re.compile(r"\s*(async\s+)?def\s")
_EMPTY = CellType()

_CONTAINERS = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.IfExp, ast.BoolOp, ast.NamedExpr, ast.Starred)
_RESULTS = (ast.Return, ast.Yield, ast.Lambda, ast.Expr)


def is_dependency(value: object) -> bool:
    """Return whether ``value`` is one of our dependencies, which require or use a session."""
    return isinstance(value, (SessionScheme, OptionalSessionScheme))


def discarded_dependency(call: object) -> str | None:
    """Return an error if a handler or a dependency of an app uses one of our dependencies without effect.

    If its source code is not installed, only factories and decorators are found.
    """
    return next((error for code in _codes(call) for error in code.errors()), None)


def _codes(call: object) -> Iterator["_Code"]:
    """Yield the functions that run when FastAPI calls ``call``: wrappers, and what they wrap."""
    instance: object = None
    if inspect.isclass(call):
        call = cast("object", call.__init__)
    elif type(call) not in {FunctionType, MethodType, partial}:
        instance, call = call, getattr(type(call), "__call__", None)  # noqa: B004 - not whether, but which
    while call is not None:
        instance = getattr(call, "__self__", instance)
        function: object = getattr(call, "__func__", call)
        if isinstance(function, FunctionType):
            yield _Code.of(function, instance)
        call = cast("object", getattr(call, "func", None) or getattr(call, "__wrapped__", None))


def _is_ours(value: object) -> bool:
    return is_dependency(value) or value is get_auth_session or value is get_user_profile


def _attribute(value: object, name: str) -> object:
    """Return an attribute of a module, or of the data of an object: no property is called."""
    if isinstance(value, ModuleType):
        return getattr(value, name, None)
    return cast("Mapping[str, object]", getattr(value, "__dict__", {})).get(name)


@dataclass(frozen=True)
class _Code:
    """The code of a function, the variables of its module, and the values of the names in the code."""

    code: CodeType
    module: dict[str, object]
    names: Mapping[str, object]

    @classmethod
    def of(cls, function: FunctionType, instance: object) -> Self:
        """Return the code of a function; ``instance`` is the object that its first parameter is."""
        code, module = function.__code__, cast("dict[str, object]", function.__globals__)
        names = {name: value for name, value in module.items() if name in code.co_names}
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if cell != _EMPTY:
                names[name] = cell.cell_contents
        if instance is not None:
            names[code.co_varnames[0]] = instance
        return cls(code, module, names)

    def errors(self) -> Iterator[str]:
        """Yield one sentence for each mistake."""
        for decorator in self._decorators():
            yield f"@{decorator} checks nothing: a dependency is not a decorator. Use Depends({decorator}...)"
        mentioned = dict(self._mentioned())
        for name, value in mentioned.items():
            if is_dependency_factory(value):
                yield FACTORY_IN_REQUEST.format(name)
        if any(map(_is_ours, mentioned.values())):
            yield from self._discarded()

    def _value(self, name: str) -> object:
        """Return the value of a dotted name, or None if it is unknown."""
        first, *attributes = name.split(".")
        found = self.names.get(first, self.module.get(first))
        for attribute in attributes:
            found = _attribute(found, attribute)
        return found

    def _mentioned(self) -> Iterator[tuple[str, object]]:
        """Yield the names that may occur in the code, and their values."""
        for name, value in self.names.items():
            yield name, value
            for attribute in self.code.co_names:
                yield f"{name}.{attribute}", _attribute(value, attribute)

    @cached_property
    def _lines(self) -> list[str]:
        return linecache.getlines(self.code.co_filename, self.module)

    def _decorators(self) -> Iterator[str]:
        """Yield our dependencies and factories among the decorators of the function."""
        for line in self._lines[self.code.co_firstlineno - 1 :]:
            if _DEFINITION.match(line) or self.code.co_name == "<lambda>":
                return
            found = _DECORATOR.match(line)
            value = self._value(found[1]) if found else None
            if found and (_is_ours(value) or is_dependency_factory(value)):
                yield found[1]

    def _discarded(self) -> Iterator[str]:
        for root in self._definitions():
            parents = {child: node for node in ast.walk(root) for child in ast.iter_child_nodes(node)}
            for node in ast.walk(root):
                if isinstance(node, (ast.Name, ast.Attribute)):
                    name = ast.unparse(node)
                    if _is_ours(self._value(name)) and self._is_discarded(node, parents, root):
                        yield (
                            f"{name} is used without effect, because it is not awaited: use Depends({name})"
                            f" in the parameters or the decorator of the route, or `await {name}(request)`"
                        )

    def _definitions(self) -> Iterator[ast.AST]:
        """Yield the syntax of the function; of all lambdas in its line, if it is one."""
        for node in ast.walk(ast.parse("".join(self._lines))):
            if isinstance(node, ast.Lambda):
                first, name = node.lineno, "<lambda>"
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first, name = min(each.lineno for each in (node, *node.decorator_list)), node.name
            else:
                continue
            if (first, name) == (self.code.co_firstlineno, self.code.co_name):
                yield from [node] if isinstance(node, ast.Lambda) else node.body

    def _is_discarded(self, node: ast.AST, parents: Mapping[ast.AST, ast.AST], root: ast.AST) -> bool:
        """Return whether this use of a dependency has no effect."""
        parent, is_called = parents.get(node, root), False
        while isinstance(parent, (ast.Call, *_CONTAINERS)):
            if isinstance(parent, ast.Call) and node is not parent.func:
                return self._value(ast.unparse(parent.func)) in (Depends, Security)  # else it is passed on
            is_called = is_called or isinstance(parent, ast.Call)
            node, parent = parent, parents.get(parent, root)
        if is_called:
            return not isinstance(parent, (ast.Await, ast.keyword))
        return isinstance(parent, _RESULTS)
