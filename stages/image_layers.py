"""The layers of an image as its configuration names them: by the digests of their uncompressed bytes."""

from __future__ import annotations

from registries.digest import Digest
from registries.errors import ContentError
from registries.limits import MANIFEST_BYTES
from registries.strict_json import loads_object


def diff_ids(config: bytes | None) -> tuple[Digest, ...]:
    """`rootfs.diff_ids` (OCI image-spec, "config"), the lowest layer first; nothing where there is no such list."""
    if config is None:
        return ()
    try:
        found = loads_object(config, limit=MANIFEST_BYTES).get("rootfs")
        listed = found.get("diff_ids") if isinstance(found, dict) else None
        return tuple(Digest.parse(str(one)) for one in listed) if isinstance(listed, list) else ()
    except ContentError:
        return ()
