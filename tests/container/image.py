"""Builds the images of the Dockerfile as folders, with the Dockerfile's own commands and paths."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.container.dockerfile import Ignored, Stage, exec_form, read_stages, variables
from tests.container.sandbox import ROOT_USER, Sandbox, new_root

__all__ = ["Image", "build_images"]

_ROOT = Path(__file__).parents[2]

# An image of Python has the interpreter on its PATH, with pip. Here it is the interpreter of the tests.
_PYTHON = "/image-python"
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"

# How this machine reaches its package index.
_INDEX_VARIABLES = ("PIP_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Image:
    """The result of a stage. ``root`` is its file system."""

    root: Path
    variables: dict[str, str]
    workdir: str = "/"
    user: str = ROOT_USER
    command: Sequence[str] = ()
    healthcheck: Sequence[str] = ()
    volumes: Sequence[str] = ()

    def path(self, *parts: str) -> Path:
        """Return the place on this machine of a path in the image, relative to its working directory."""
        return self.root / Path(self.workdir, *parts).relative_to("/")


def build_images(folder: Path, text: str, ignored: Ignored) -> dict[str, Image]:
    """Run the steps of a Dockerfile, and return the image of each stage by its name."""
    images: dict[str, Image] = {}
    for stage in read_stages(text):
        base = images.get(stage.base) or _base_image(folder, stage.base)
        root = folder / stage.name
        shutil.copytree(base.root, root, symlinks=True)
        images[stage.name] = _Build(images, ignored).run(stage, replace(base, root=root))
    return images


def _base_image(folder: Path, name: str) -> Image:
    """Return an image with a Python and a recent pip."""
    root = folder / name
    image = Image(root, {"PATH": f"{_PYTHON}/bin:{_SYSTEM_PATH}"})
    if not name.startswith("python:"):
        raise ValueError(f"no stand-in for the image {name}")
    if not root.exists():
        new_root(root)
        interpreter = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
        _run(image, [str(interpreter), "-m", "venv", _PYTHON])
        _run(image, ["pip", "install", "--quiet", "--upgrade", "pip"])
    return image


def _run(image: Image, command: Sequence[str]) -> None:
    index = {name: value for name, value in os.environ.items() if name.upper().startswith(_INDEX_VARIABLES)}
    sandbox = Sandbox(image.root, index | image.variables, image.workdir, image.user)
    done = sandbox.run(command)
    if done.returncode != 0:
        raise AssertionError(f"{command}\n{done.stdout}{done.stderr}")


@dataclass(frozen=True, slots=True)
class _Build:
    """The build of one stage."""

    images: dict[str, Image]
    ignored: Ignored
    exposed: list[str] = field(default_factory=list[str])

    def run(self, stage: Stage, image: Image) -> Image:
        """Return the image after all instructions."""
        for name, arguments in stage.instructions:
            image = self._step(name, arguments, image)
        return image

    def _step(self, name: str, arguments: str, image: Image) -> Image:
        match name:
            case "WORKDIR":
                (image.root / arguments.lstrip("/")).mkdir(exist_ok=True)
                return replace(image, workdir=arguments)
            case "RUN":
                _run(image, ["/bin/sh", "-c", arguments])
            case "COPY":
                self._copy(arguments.split(), image)
            case "EXPOSE":
                self.exposed.append(arguments)
            case _:
                return self._set(name, arguments, image)
        return image

    def _set(self, name: str, arguments: str, image: Image) -> Image:
        """Return the image after an instruction that changes no file."""
        match name:
            case "ENV":
                return replace(image, variables=image.variables | variables(arguments, image.variables))
            case "USER":
                return replace(image, user=arguments)
            case "VOLUME":
                return replace(image, volumes=[*image.volumes, arguments])
            case "CMD":
                return replace(image, command=exec_form(arguments))
            case _:
                return replace(image, healthcheck=exec_form(arguments))

    def _copy(self, arguments: list[str], image: Image) -> None:
        *sources, target = arguments
        if sources[0].startswith("--from="):
            other = self.images[sources[0].removeprefix("--from=")]
            shutil.copytree(other.path(sources[1]), image.path(target), symlinks=True)
            return
        for source in sources:
            self._copy_from_context(Path(source), image.path(target))

    def _copy_from_context(self, source: Path, target: Path) -> None:
        """Copy a file into a folder, or the contents of a folder."""
        is_folder = (_ROOT / source).is_dir()
        paths = (_ROOT / source).rglob("*") if is_folder else [_ROOT / source]
        for path in (path for path in paths if path.is_file()):
            relative = path.relative_to(_ROOT)
            if self.ignored(relative):
                continue
            copy = target / (relative.relative_to(source) if is_folder else relative)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
