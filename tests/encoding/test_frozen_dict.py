"""A frozen dict cannot be changed, and otherwise behaves like a dict."""

import copy
import json
import pickle
from collections.abc import Callable

import pytest

from fastapi_descope._encoding import FrozenDict

Mutation = Callable[[FrozenDict[str, object]], object]


def _set(mapping: FrozenDict[str, object]) -> None:
    mapping["a"] = 2


def _delete(mapping: FrozenDict[str, object]) -> None:
    del mapping["a"]


def _merge(mapping: FrozenDict[str, object]) -> None:
    mapping |= {"a": 2}


MUTATIONS: dict[str, Mutation] = {
    "set item": _set,
    "delete item": _delete,
    "merge": _merge,
    "clear": lambda mapping: mapping.clear(),
    "pop": lambda mapping: mapping.pop("a"),
    "pop with default": lambda mapping: mapping.pop("a", None),
    "popitem": lambda mapping: mapping.popitem(),
    "setdefault": lambda mapping: mapping.setdefault("b", 1),
    "update": lambda mapping: mapping.update(a=2),
}


@pytest.mark.parametrize("change", MUTATIONS.values(), ids=MUTATIONS)
def test_tv17_every_mutating_method_raises(change: Mutation) -> None:
    """TV-17: the error gives the reason, and the dict is unchanged."""
    claims = FrozenDict[str, object]({"a": 1})

    with pytest.raises(
        TypeError, match=r"^This dict is shared between requests and cannot be changed; copy it with dict"
    ):
        change(claims)

    assert claims == {"a": 1}


def test_it_is_serialised_and_copied_like_a_dict() -> None:
    """It works with json, copy and pickle."""
    claims = FrozenDict[str, object]({"a": FrozenDict[str, object]({"b": (1, 2)})})

    assert json.dumps(claims) == '{"a": {"b": [1, 2]}}'
    assert copy.copy(claims) is claims
    assert copy.deepcopy(claims) is claims
    assert type(claims.copy()) is dict
    assert pickle.loads(pickle.dumps(claims)) == claims  # noqa: S301 - our own bytes
    assert dict(claims) | {"c": 1} == {"a": {"b": (1, 2)}, "c": 1}
