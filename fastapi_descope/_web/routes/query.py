"""The query of a request."""

from collections import Counter
from collections.abc import Mapping

from starlette.requests import Request

__all__ = ["single_values"]


def single_values(request: Request) -> Mapping[str, str]:
    """Return the query parameters that occur exactly once (CB-05, RT-14)."""
    items = request.query_params.multi_items()
    counts = Counter(name for name, _ in items)
    return {name: value for name, value in items if counts[name] == 1}
