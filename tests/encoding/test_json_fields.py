"""A field of parsed JSON is returned if it has the right type, and counts as absent otherwise."""

import pytest

from fastapi_descope._encoding import FrozenDict, as_mapping, as_names, as_objects, as_text

SCALARS: tuple[object, ...] = (None, True, 0, 1.5)


@pytest.mark.parametrize("value", [*SCALARS, "", ["a"], ("a",), {"a": "b"}])
def test_only_a_string_with_characters_is_text(value: object) -> None:
    """Every other value, the empty string included, is None."""
    assert as_text("a") == "a"
    assert as_text(value) is None


@pytest.mark.parametrize("value", [*SCALARS, "a", [], [("a", "b")], ()])
def test_only_a_json_object_is_a_mapping(value: object) -> None:
    """Objects of either parser are returned as they are, the empty one too."""
    for found in ({}, {"a": 1}, FrozenDict({"a": 1})):
        assert as_mapping(found) is found
    assert as_mapping(value) is None


@pytest.mark.parametrize("items", [["a", 1, None, ["b"], "", "c"], ("a", 1, None, ("b",), "", "c")])
def test_names_are_the_strings_of_a_list(items: object) -> None:
    """Items of another type are skipped, in the lists of either parser."""
    assert as_names(items) == ("a", "", "c")


def test_a_tuple_of_names_is_not_copied() -> None:
    """The roles of a session are the object in its claims, which thousands of sessions keep."""
    names = ("admin", "")
    assert as_names(names) is names
    assert as_names(("admin", 1)) == ("admin",)


@pytest.mark.parametrize("value", [*SCALARS, "administrator", {"admin": True}, {"admin"}])
def test_tn04_only_a_list_contains_names(value: object) -> None:
    """A string is not a list of its characters, and an object is not a list of its members."""
    assert as_names(value) == ()


NO_MEMBERS: dict[str, object] = {}
OBJECT_LISTS: tuple[object, ...] = (
    [{"a": 1}, 1, None, [NO_MEMBERS], NO_MEMBERS],
    ({"a": 1}, "x", NO_MEMBERS),
)


@pytest.mark.parametrize("items", OBJECT_LISTS)
def test_objects_are_the_json_objects_of_a_list(items: object) -> None:
    """Items of another type are skipped, in the lists of either parser."""
    assert as_objects(items) == ({"a": 1}, {})


@pytest.mark.parametrize("value", [*SCALARS, "a", {"a": {}}])
def test_only_a_list_contains_objects(value: object) -> None:
    """A single object is not a list of one."""
    assert as_objects(value) == ()
