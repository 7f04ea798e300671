"""The tests that pages of the documentation show pass."""

import re
from pathlib import Path

import pytest

from tests.helpers.docs_page import states
from tests.helpers.docs_python import is_test, page_id, pages_with_files, run_python


@pytest.mark.parametrize("page", pages_with_files(tests=True), ids=page_id)
def test_the_tests_of_a_page_pass(page: Path, tmp_path: Path) -> None:
    """All of them, with the configuration of the page."""
    files = states(page)[-1]
    tests = sum(text.count("def test_") for name, text in files.items() if is_test(name))

    status, output = run_python(
        tmp_path, files, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-q"
    )

    assert status == 0, output
    passed = tests or "[1-9][0-9]*"  # a page without tests of its own runs those of the testing kit
    assert re.search(rf"^{passed} passed in ", output, re.MULTILINE), output
