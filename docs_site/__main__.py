"""Builds the site and checks it; ``scripts/docs`` runs it. The folder is .docs, or the argument."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from . import links, llms, navigation
from .generated import GENERATED
from .pages import ROOT, copy_pages

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_CONFIGURATION = Path(__file__).with_name("zensical.toml")


def main(folder: Path) -> int:
    """Build the site in ``folder``, print what is wrong with it, and return the exit status."""
    shutil.rmtree(folder, ignore_errors=True)
    pages, site = folder / "pages", folder / "site"
    copy_pages(pages, GENERATED)
    problems = navigation.problems(pages)
    sections = navigation.sections(pages)
    configuration = _CONFIGURATION.read_text(encoding="utf-8")
    project = tomllib.loads(configuration)["project"]
    (pages / "llms.txt").write_text(llms.index(sections, pages, project["site_url"]), encoding="utf-8")
    nav = f"[project]\nnav = {navigation.to_toml(sections)}\n"
    (folder / "zensical.toml").write_text(configuration.replace("[project]\n", nav, 1), encoding="utf-8")
    problems = problems + _build(folder) or links.problems(site, project["site_url"])
    for problem in problems:
        print(problem)
    print(f"docs: {len(list(site.rglob('*.html')))} pages, {len(problems)} problems")
    return 1 if problems else 0


def _build(folder: Path) -> list[str]:
    """Run the build with warnings as errors, and return its output if it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder,
        env=os.environ | {"NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    output = _COLOUR.sub("", done.stdout).partition("Traceback")[0]
    return [output] if done.returncode or "warning" in output.lower() else []


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".docs"))
