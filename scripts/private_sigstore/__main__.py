"""Start, use and end a private Sigstore: `python -m scripts.private_sigstore up|down|token FOLDER [SUBJECT]`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from scripts.private_sigstore.stack import NotStarted, PrivateSigstore, find


def main(arguments: list[str]) -> int:
    match arguments:
        case ["up", folder]:
            return _up(Path(folder))
        case ["down", folder]:
            return _down(Path(folder))
        case ["token", folder, subject]:
            issuer = "github" if subject.startswith("https://github.com/") else "email"
            print(PrivateSigstore.running(Path(folder)).token(subject, issuer=issuer))
            return 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


def _up(folder: Path) -> int:
    if folder.exists():
        print(f"{folder} is there already; `make sigstore-down` ends what runs and removes it", file=sys.stderr)
        return 1
    try:
        stack = PrivateSigstore.start(folder.resolve(), find)
    except NotStarted as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"trust config  {stack.trust_config}")
    print(f"trusted root  {stack.trusted_root}")
    print(f"issuer        {stack.issuer('email')}")
    print(f"a token       .venv/bin/python -m scripts.private_sigstore token {folder} you@example.com")
    return 0


def _down(folder: Path) -> int:
    if (folder / "ports").is_file():
        PrivateSigstore.running(folder.resolve()).stop()
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
