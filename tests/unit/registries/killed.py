"""Writes to two layouts in a process that is killed before its n-th file operation, for every n there is.

Run as a program with an empty folder: forks once for each n, looks at what is left each time, prints how often.
The operations are those that change something and that Python itself announces (PEP 578), so nothing of samebits is
replaced for this.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from registries.digest import Digest
from registries.kinds.layout import Layout, LayoutRegistry
from registries.registry import Location
from tests.images import image, referrer

_OPERATIONS = {"os.rename", "os.remove", "os.mkdir", "os.link", "os.truncate"}
_AGAIN = 5
_PARTS = (b"first ", b"second ", b"third")


def scenario(folder: Path) -> None:
    """All that a registry does to its layouts, some of it again and again."""
    first, second = (LayoutRegistry.create(folder / name) for name in ("first", "second"))
    place = Location(first, "")
    made, other = image(seed="made").push(place), image(("linux/amd64",), seed="other").push(place)
    for one in (made, other):
        first.layout.put_manifest(one.manifest, "v1")
    note = referrer(made.manifest).push(place)
    session = first.layout.uploads.begin()
    for part in _PARTS:
        with first.layout.uploads.open(session) as growing:
            growing.write(part)
    with first.layout.uploads.open(session) as growing:
        first.layout.finish(growing, Digest.of(b"".join(_PARTS)))
    second.layout.adopt(first.layout, Digest.of(b"".join(_PARTS)))
    first.layout.put_manifest(made.manifest, "gone")
    first.layout.delete_tag("gone")
    first.delete_manifest(note.digest)
    first.delete_manifest(made.digest)
    first.layout.delete_blob(Digest.of(b"".join(_PARTS)))
    first.layout.delete_tag("v1")


def check(folder: Path) -> None:
    """What is left is whole, and can be read."""
    for layout in (Layout(folder / name) for name in ("first", "second")):
        for path in (layout.root / "blobs").glob("*/*"):
            assert Digest.of(path.read_bytes(), path.parent.name).hex == path.name, path
        if not layout.exists():
            continue
        registry = LayoutRegistry(layout.root)
        for tag in registry.tags(""):
            whole(registry, registry.resolve("", tag))
        for digest, links in registry.catalogue().reached.items():
            assert links is not None, f"{digest} is listed and can't be read"
            for entry in registry.referrers("", digest):
                assert registry.manifest("", entry.digest).digest == entry.digest


def whole(registry: LayoutRegistry, digest: Digest) -> None:
    manifest = registry.manifest("", digest)
    assert all(registry.holds("", descriptor) for descriptor in manifest.blobs)
    for child in manifest.children:
        whole(registry, child.digest)


def killed(folder: Path, nth: int) -> bool:
    """Run the scenario in a child and kill it before its n-th operation. False: it came to its end before."""
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, details: tuple[Any, ...]) -> None:
            nonlocal count
            if event in _OPERATIONS or (event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                count += 1
                if count == nth:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            scenario(folder)
        except BaseException:  # noqa: BLE001  shown below; the child must not go on as its parent
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"the writer failed, operation {nth}"
    return os.WIFSIGNALED(status)


def main(root: Path) -> None:
    """Every kill on a fresh folder; of some, the scenario once more, to its end, on what is left."""
    nth = 1
    while True:
        folder = root / "layouts"
        was_killed = killed(folder, nth)
        check(folder)
        if nth % _AGAIN == 0 or not was_killed:
            scenario(folder)
            check(folder)
        for name in ("first", "second"):
            Layout(folder / name).uploads.clean(time.time() + 1)
            assert list((folder / name).glob("uploads/*")) == []
        shutil.rmtree(folder, ignore_errors=True)
        if not was_killed:
            print(nth - 1)
            return
        nth += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
