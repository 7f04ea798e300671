"""How many hostile inputs the tests try, by group: ``python -m tests.hostile.tables.counts``."""

import sys
from collections.abc import Mapping

from tests.hostile.tables.cookies import HEADERS
from tests.hostile.tables.cross_site import CASES, SAFE_METHODS, UNSAFE_METHODS
from tests.hostile.tables.key_sets import MIXED, UNUSABLE
from tests.hostile.tables.redirect_targets import CIRCULAR, REJECTED
from tests.hostile.tables.shared_cache import STATUSES, TELLS_CACHES
from tests.hostile.tables.tokens import TOKENS

COUNTS: Mapping[str, int] = {
    "tokens": sum(map(len, TOKENS.values())),
    "key sets": len(UNUSABLE) + len(MIXED),
    "cookie headers": len(HEADERS),
    "return paths": sum(map(len, REJECTED.values())) + len(CIRCULAR),
    "cross-site requests": len(CASES) * len(UNSAFE_METHODS + SAFE_METHODS),
    "answers to be cached": sum(map(len, TELLS_CACHES.values())) * len(STATUSES) * 2,
}
"""By group. Cross-site: evidence by method; to be cached: one header by status, each by GET and HEAD."""


def main() -> None:
    """Print them, one line a group, with the parts of the tokens below."""
    lines = [f"{count:6,} {group}" for group, count in COUNTS.items()]
    parts = [f"{len(recipes):6,} tokens {group}" for group, recipes in TOKENS.items()]
    sys.stdout.write("\n".join([*lines, "", *parts, ""]))


if __name__ == "__main__":
    main()
