"""scripts/release: what stops a release, and what a release consists of."""

import datetime as dt
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TODAY = dt.datetime.now(dt.UTC).date()
CHANGES = f"# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - {TODAY}\n\n- Something changed.\n"


class Repository:
    """A repository with the files that scripts/release reads before it builds anything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "release", folder / "scripts")
        self.write("pyproject.toml", '[project]\nname = "fastapi-descope"\nversion = "1.2.3"\n')
        self.write("CHANGELOG.md", CHANGES)
        self.git("init", "--quiet")

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def git(self, *arguments: str) -> None:
        """Run git."""
        who = ["-c", "user.name=release", "-c", "user.email=release@localhost", "-c", "tag.gpgSign=false"]
        subprocess.run(["git", *who, *arguments], cwd=self.folder, check=True)

    def commit(self) -> None:
        """Commit all files."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A commit")

    def release(self, *arguments: str) -> str:
        """Return the message with which scripts/release refuses."""
        done = _run(self.folder, *arguments)
        assert done.returncode == 1, done.stdout
        assert not (self.folder / "dist").exists()
        return done.stderr.removeprefix("release: ").strip()


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PATH": f"{ROOT / '.tools' / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(
        [folder / "scripts" / "release", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a repository that nothing is committed to yet."""
    return Repository(tmp_path)


@pytest.mark.parametrize(
    ("changelog", "message"),
    [
        pytest.param(
            CHANGES.replace("1.2.3", "1.2.2"),
            "the first version in CHANGELOG.md is not [1.2.3] with a date",
            id="another version",
        ),
        pytest.param(
            CHANGES.replace(f" - {TODAY}", ""),
            "the first version in CHANGELOG.md is not [1.2.3] with a date",
            id="no date",
        ),
        pytest.param(
            CHANGES.replace(str(TODAY), "2999-01-01"),
            "the date of 1.2.3 in CHANGELOG.md is in the future",
            id="a date in the future",
        ),
        pytest.param(
            CHANGES.replace("[Unreleased]\n", "[Unreleased]\n\n- Another change.\n"),
            "CHANGELOG.md has changes under [Unreleased]",
            id="unreleased changes",
        ),
        pytest.param(
            CHANGES.replace("- Something changed.", ""), "CHANGELOG.md says nothing about 1.2.3", id="no text"
        ),
    ],
)
def test_the_changelog_must_describe_the_version(
    repository: Repository, changelog: str, message: str
) -> None:
    """The section of the version becomes the notes of the release."""
    repository.write("CHANGELOG.md", changelog)
    repository.commit()

    assert repository.release() == message


@pytest.mark.parametrize("version", ["1.2", "1.2.3.dev1", "1.2.3+local"])
def test_development_versions_are_not_released(repository: Repository, version: str) -> None:
    """A version has three numbers, and may be a release candidate."""
    repository.write("pyproject.toml", f'[project]\nname = "fastapi-descope"\nversion = "{version}"\n')
    repository.commit()

    assert repository.release() == f"{version} is no version of a release"


def test_uncommitted_changes_are_not_released(repository: Repository) -> None:
    """Files that git does not know count too."""
    repository.commit()
    repository.write("new.py", "")

    assert repository.release() == "there are uncommitted changes"


def test_a_version_is_released_once(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The tag may exist neither here nor at origin."""
    repository.commit()
    origin = tmp_path_factory.mktemp("origin")
    repository.git("clone", "--quiet", "--bare", ".", str(origin / "repository"))
    repository.git("remote", "add", "origin", str(origin / "repository"))

    repository.git("tag", "v1.2.3")
    assert repository.release() == "the tag v1.2.3 exists"

    repository.git("push", "--quiet", "origin", "v1.2.3")
    repository.git("tag", "--delete", "v1.2.3")
    assert repository.release() == "the tag v1.2.3 exists at origin"


def test_the_workflow_releases_the_commit_of_its_tag_only(repository: Repository) -> None:
    """With --tag, the tag has to fit the version and the commit."""
    repository.commit()
    repository.git("tag", "v1.2.3")
    assert repository.release("--tag", "v1.2.4") == "the tag is v1.2.4, and the version is 1.2.3"

    repository.commit()
    assert repository.release("--tag", "v1.2.3") == "the tag v1.2.3 is not at this commit"


def test_unknown_options_are_an_error(repository: Repository) -> None:
    """A mistyped --check must not start a release."""
    assert repository.release("--chekc") == "unknown option --chekc"


@pytest.mark.slow
@pytest.mark.nightly
def test_a_release_of_this_tree_passes_all_checks() -> None:
    """It is built, checked and installed in a copy, and nothing is left behind here."""
    before = sorted(path.name for path in ROOT.iterdir())

    done = _run(ROOT, "--check")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "release: 0.0.1 is ready: dist/packages, dist/sbom.cdx.json and dist/notes.md" in done.stdout
    assert '    git tag --sign v0.0.1 --message "fastapi-descope 0.0.1"\n' in done.stdout
    assert sorted(path.name for path in ROOT.iterdir()) == before
