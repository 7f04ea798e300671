"""The commands of pages of the documentation do what the pages say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.docs_page import DOCS, steps
from tests.helpers.docs_python import environment, page_id, walked_pages
from tests.helpers.docs_walk import Walk

TUTORIAL = DOCS / "tutorial"


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    """A reader of a page outside the tutorial, who has installed everything."""
    folder = tmp_path / "page"
    folder.mkdir()
    walk = Walk(folder, environment() | {"DESCOPE_PROJECT_ID": "P" + "a" * 27}, installs=False)
    yield walk
    walk.close()


@pytest.mark.parametrize("page", [page for page in walked_pages() if page.parent != TUTORIAL], ids=page_id)
def test_the_commands_of_a_page_do_what_it_says(page: Path, walk: Walk) -> None:
    """In order, with the files that the page has shown so far."""
    for step in steps(page):
        walk.take(step)
