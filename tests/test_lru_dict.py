"""The dict that evicts what was used least recently."""

from fastapi_descope._lru_dict import LruDict


def test_the_least_recently_used_item_is_evicted() -> None:
    """A hit that the caller confirms with ``move_to_end`` counts as a use; ``get`` alone does not."""
    items = LruDict[str, int](2)
    items.put("a", 1)
    items.put("b", 2)
    items.get("b")
    items.move_to_end("a")

    items.put("c", 3)

    assert list(items.items()) == [("a", 1), ("c", 3)]


def test_an_item_that_is_set_again_is_the_newest() -> None:
    """A new value for a known key evicts nothing, and counts as a use."""
    items = LruDict[str, int](2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        items.put(key, value)

    assert list(items.items()) == [("a", 3), ("c", 4)]


def test_a_size_of_zero_keeps_nothing() -> None:
    """The setting that turns a cache off needs no branch in its users."""
    items = LruDict[str, int](0)
    items.put("a", 1)

    assert not items
