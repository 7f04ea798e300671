"""The pictures in the documentation can be taken again, and are small."""

from pathlib import Path

import pytest

from docs_site.screenshots import take

IMAGES = Path(__file__).parents[2] / "docs" / "images"

pytestmark = pytest.mark.browser


@pytest.mark.nightly
def test_every_picture_of_the_pages_is_taken_again(tmp_path: Path) -> None:
    """The same pictures in light and dark, each a WebP below 80 kB."""
    take(tmp_path)

    taken = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert taken.keys() == {path.name for path in IMAGES.glob("*.webp")}
    assert len(taken) == 12
    for name, picture in taken.items():
        assert picture[:4] + picture[8:12] == b"RIFFWEBP", name
        assert len(picture) < 80_000, name
        assert (IMAGES / name).stat().st_size < 80_000, name
