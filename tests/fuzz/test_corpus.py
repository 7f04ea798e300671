"""No input of the corpus breaks a promise of its target.

``scripts/fuzz`` looks for inputs that do.
"""

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
INPUTS = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_input_of_the_corpus_breaks_no_promise(path: Path) -> None:
    """The target raises if one is broken."""
    TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_a_small_corpus() -> None:
    """At least three inputs, and at most 64 KiB in all."""
    counts = {name: sum(path.parent.name == name for path in INPUTS) for name in TARGETS}
    assert min(counts.values()) >= 3
    assert len(INPUTS) == sum(counts.values())
    assert sum(path.stat().st_size for path in INPUTS) <= 65_536
