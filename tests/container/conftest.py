"""The images of the Dockerfile, built once for all tests of this folder."""

from pathlib import Path

import pytest

from tests.container.dockerfile import Ignored
from tests.container.image import Image, build_images

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """Return the images by the names of their stages; the last one is the app."""
    ignored = Ignored((ROOT / ".dockerignore").read_text(encoding="utf-8"))
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    return build_images(tmp_path_factory.mktemp("images"), text, ignored)
