"""The image files below a folder: links, hidden and system folders, what is left out.

Every real folder is read once. A link to a folder above, out of the tree or to one that is read
already would bring images in twice, or others than the user sees: it is refused by name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from supernets.data.dataset import DataError
from supernets.data.pictures import SUFFIXES

SYSTEM_FOLDERS = frozenset(  # small letters; of storage boxes, macOS, Windows, Jupyter, Python
    (
        *("@eadir", "@recycle", "#recycle", "#snapshot", "__macosx", ".ipynb_checkpoints"),
        *("$recycle.bin", "system volume information", "lost+found", "__pycache__"),
    )
)
SYSTEM_FILES = frozenset(("thumbs.db", "desktop.ini", "icon\r"))
Id = tuple[int, int]  # of a real folder: device and number


@dataclass
class Tree:
    """Walks folders below `root`; remembers which were read, and which of a system's it passed."""

    root: Path
    read: dict[Id, Path] = field(default_factory=dict)
    system: list[Path] = field(default_factory=list)

    def visible(self, folder: Path) -> list[Path]:
        """What lies in a folder, sorted, without hidden files and those of a system."""
        found = []
        for path in sorted(folder.iterdir()):
            name = path.name.lower()
            if name in SYSTEM_FOLDERS and path.is_dir():
                if not name.startswith("."):
                    self.system.append(path)
            elif not name.startswith(".") and name not in SYSTEM_FILES:
                found.append(path)
        return found

    def folders(self, folder: Path) -> list[Path]:
        """The visible folders in a folder."""
        return [path for path in self.visible(folder) if path.is_dir()]

    def files(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Image files at any depth below `folder`, by their suffix, and all other files."""
        images: list[Path] = []
        others: list[Path] = []
        self._enter(folder)
        for path in self.visible(folder):
            if path.is_dir():
                below, rest = self.files(path)
                images += below
                others += rest
            else:
                (images if path.suffix.lower() in SUFFIXES else others).append(path)
        return images, others

    def has_images(self, folder: Path) -> bool:
        """Whether there is an image file at any depth below `folder`, links aside."""
        for path in self.visible(folder):
            if path.is_dir():
                if not path.is_symlink() and self.has_images(path):
                    return True
            elif path.suffix.lower() in SUFFIXES:
                return True
        return False

    def _enter(self, folder: Path) -> None:
        """Note that `folder` is read; DataError where its images would come in twice."""
        real, root = Path(os.path.realpath(folder)), Path(os.path.realpath(self.root))
        link = _link(folder, self.root)
        if link is not None and not real.is_relative_to(root):
            raise DataError(
                f"{link} is a link out of {self.root}, to {real}; put the images there, or give "
                "`data` the folder itself"
            )
        if link is not None and Path(os.path.realpath(link.parent)).is_relative_to(real):
            raise DataError(f"{link} is a link to a folder above it, {real}; remove the link")
        found = folder.stat()
        before = self.read.setdefault((found.st_dev, found.st_ino), folder)
        if before != folder:
            one, other = (folder, before) if link is not None else (before, folder)
            raise DataError(f"{one} is a link to {other}: the images would count twice; remove it")


def _link(folder: Path, root: Path) -> Path | None:
    """The first part of the way from `root` down to `folder` that is a link."""
    way = [*reversed(folder.relative_to(root).parents), folder.relative_to(root)]
    return next((root / part for part in way[1:] if (root / part).is_symlink()), None)
