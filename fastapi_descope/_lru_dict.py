"""A dict that evicts what was used least recently."""

from collections import OrderedDict
from typing import TypeVar

__all__ = ["LruDict"]

K = TypeVar("K")
V = TypeVar("V")


class LruDict(OrderedDict[K, V]):
    """A dict whose ``put`` keeps at most ``size`` items, by removing the least recently used one.

    ``get`` costs what it costs in a dict, and does not count as a use: a caller that uses the item it has
    found calls ``move_to_end``.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def put(self, key: K, value: V) -> None:
        """Set an item, which is the most recently used one then. With a ``size`` of 0 nothing is kept."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._size:
            self.popitem(last=False)
