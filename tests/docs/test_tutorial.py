"""The tutorial can be followed with a plain Python."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helpers.docs_page import DOCS, steps
from tests.helpers.docs_python import environment, page_id, walked_pages
from tests.helpers.docs_walk import Walk

ROOT = DOCS.parent
TUTORIAL = DOCS / "tutorial"


@pytest.fixture(scope="module")
def pip_variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for pip: the pins of the repository, and a wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["uv"].get(
        "constraint-dependencies",
        [],  # scripts/matrix removes the pins
    )
    (folder / "pins.txt").write_text("\n".join(pins), encoding="utf-8")
    links = f"{os.environ.get('PIP_FIND_LINKS', '')} {folder}".strip()
    return {"PIP_CONSTRAINT": str(folder / "pins.txt"), "PIP_FIND_LINKS": links}


@pytest.mark.parametrize("page", [page for page in walked_pages() if page.parent == TUTORIAL], ids=page_id)
def test_the_tutorial_can_be_followed_in_an_empty_environment(
    page: Path, pip_variables: dict[str, str], tmp_path: Path
) -> None:
    """The reader has a plain Python and no package; pip takes ours from a wheel."""
    folder = tmp_path / "page"
    folder.mkdir()
    ours = Path(sys.executable).parent
    others = [each for each in os.environ["PATH"].split(os.pathsep) if Path(each) != ours]
    path = os.pathsep.join([str(Path(sys.base_prefix) / "bin"), *others])
    walk = Walk(folder, environment() | pip_variables | {"PATH": path}, installs=True)
    try:
        for step in steps(page):
            walk.take(step)
    finally:
        walk.close()

    (installed,) = folder.rglob("site-packages/fastapi_descope/errors.py")
    assert installed.with_name("llms.txt").is_file()
    assert installed.read_bytes() == (ROOT / "fastapi_descope" / "errors.py").read_bytes()
