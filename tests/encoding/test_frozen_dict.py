"""A dict that nobody can change, and that everything still takes for a dict."""

import copy
import json
import pickle
from collections.abc import Callable

import pytest

from fastapi_descope._encoding.frozen_dict import FrozenDict

Changing = Callable[[FrozenDict[str, object]], object]


def _set(mapping: FrozenDict[str, object]) -> None:
    mapping["a"] = 2


def _delete(mapping: FrozenDict[str, object]) -> None:
    del mapping["a"]


def _merge(mapping: FrozenDict[str, object]) -> None:
    mapping |= {"a": 2}


CHANGES: dict[str, Changing] = {
    "set": _set,
    "delete": _delete,
    "merge": _merge,
    "clear": lambda mapping: mapping.clear(),
    "pop": lambda mapping: mapping.pop("a"),
    "pop with default": lambda mapping: mapping.pop("a", None),
    "popitem": lambda mapping: mapping.popitem(),
    "setdefault": lambda mapping: mapping.setdefault("b", 1),
    "update": lambda mapping: mapping.update(a=2),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_tv17_nothing_changes_it(change: Changing) -> None:
    """TV-17: it says that it is shared, and stays as it was."""
    claims = FrozenDict[str, object]({"a": 1})

    with pytest.raises(TypeError, match="shared between requests"):
        change(claims)

    assert claims == {"a": 1}


def test_it_is_written_out_like_any_dict() -> None:
    """By json, by copies, by pickle."""
    claims = FrozenDict[str, object]({"a": FrozenDict[str, object]({"b": (1, 2)})})

    assert json.dumps(claims) == '{"a": {"b": [1, 2]}}'
    assert copy.copy(claims) is claims
    assert copy.deepcopy(claims) is claims
    assert type(claims.copy()) is dict
    assert pickle.loads(pickle.dumps(claims)) == claims  # noqa: S301 - our own bytes
    assert dict(claims) | {"c": 1} == {"a": {"b": (1, 2)}, "c": 1}
