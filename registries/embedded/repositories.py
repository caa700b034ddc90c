"""The repositories below one folder: the layout of `team/image` is `ROOT/team/image/_oci`.

No component of a repository's name begins with `_`, so none lies inside another one's layout.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from registries.digest import Digest
from registries.errors import NotFound
from registries.kinds.layout import Layout
from registries.reference import check_repository

_FOLDER: Final = "_oci"


class Repositories:
    """One `Layout` object for each repository that was asked for. Safe for several threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._layouts: dict[str, Layout] = {}
        self._lock = threading.Lock()

    def existing(self, name: str) -> Layout | None:
        """The layout of a repository that something was pushed to."""
        with self._lock:
            layout = self._layouts.get(name) or Layout(self._root / name / _FOLDER)
            return self._layouts.setdefault(name, layout) if layout.exists() else None

    def made(self, name: str) -> Layout:
        """The layout of a repository that something is being pushed to."""
        with self._lock:
            layout = self._layouts.setdefault(name, Layout(self._root / name / _FOLDER))
            layout.create()
            return layout

    def holding(self, name: str, digest: Digest) -> Layout:
        """The layout that was asked for a blob, which is there."""
        layout = self.existing(name)
        if layout is None or layout.content(digest) is None:
            raise NotFound("blob-not-found", f"there is no blob {digest} in {name}")
        return layout

    def mount(self, name: str, digest: Digest, source: str | None) -> bool:
        """Take a blob over from `source`, or from any repository in use. False: the client has to upload it."""
        if source is None:
            with self._lock:
                origins = tuple(self._layouts.values())
        else:
            origin = self.existing(check_repository(source, source))
            origins = (origin,) if origin is not None else ()
        for origin in origins:
            if origin.content(digest) is not None:
                self.made(name).adopt(origin, digest)
                return True
        return False

    def clean(self, before: float) -> int:
        """Remove every upload that was abandoned before this time (seconds of the epoch); returns how many."""
        return sum(layout.uploads.clean(before) for layout in self._all())

    def _all(self) -> list[Layout]:
        """Every layout below the root, those of other servers and earlier runs too."""
        found = []
        for folder, below, _ in os.walk(self._root):
            if _FOLDER in below:
                below.remove(_FOLDER)
                name = Path(folder).relative_to(self._root).as_posix()
                found.append(self._layouts.get(name) or Layout(Path(folder) / _FOLDER))
        return found
