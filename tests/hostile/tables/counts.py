"""The number of hostile inputs in each group: ``python -m tests.hostile.tables.counts``."""

import sys
from collections.abc import Mapping

from tests.hostile.tables.cookies import HEADERS
from tests.hostile.tables.cross_site import CASES, SAFE_METHODS, UNSAFE_METHODS
from tests.hostile.tables.key_sets import MIXED, UNUSABLE
from tests.hostile.tables.public_endpoints import HOSTS, PATHS, REQUESTS, ROOT_PATHS
from tests.hostile.tables.redirect_targets import CIRCULAR, REJECTED
from tests.hostile.tables.shared_cache import CACHE_HEADERS, STATUSES
from tests.hostile.tables.tokens import TOKENS

COUNTS: Mapping[str, int] = {
    "tokens": sum(map(len, TOKENS.values())),
    "key sets": len(UNUSABLE) + len(MIXED),
    "cookie headers": len(HEADERS),
    "redirect targets": sum(map(len, REJECTED.values())) + len(CIRCULAR),
    "cross-site requests": len(CASES) * len(UNSAFE_METHODS + SAFE_METHODS),
    "requests to a protected app": len(PATHS) * (len(REQUESTS) + len(HOSTS) + len(ROOT_PATHS)),
    "cacheable responses": sum(map(len, CACHE_HEADERS.values())) * len(STATUSES) * 2,
}
"""Cross-site requests: headers times methods. Cacheable responses: headers times statuses, GET and HEAD."""


def main() -> None:
    """Print one line per group, and one line per part of the tokens."""
    lines = [f"{count:6,} {group}" for group, count in COUNTS.items()]
    parts = [f"{len(recipes):6,} tokens {group}" for group, recipes in TOKENS.items()]
    sys.stdout.write("\n".join([*lines, "", *parts, ""]))


if __name__ == "__main__":
    main()
