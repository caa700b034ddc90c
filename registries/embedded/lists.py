"""What a repository holds, in pages: its tags, and what refers to a digest.

Source: OCI distribution-spec 1.1, "Listing Tags", "Listing Referrers".
"""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from registries.digest import Digest
from registries.embedded.answers import Fault, next_page, repository
from registries.embedded.repositories import Repositories
from registries.limits import MANIFEST_BYTES
from registries.manifest import OCI_INDEX, index_bytes
from registries.reference import is_tag
from registries.strict_json import dumps

_LIST_BYTES: Final = MANIFEST_BYTES - 1024
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


class Lists:
    """The endpoints."""

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    def tags(self, request: Request) -> Response:
        """The tags in ASCII order: at most `n` of them, after `last`."""
        name, query = repository(request), request.query_params
        layout = self._repositories.existing(name)
        if layout is None:
            raise Fault(404, "NAME_UNKNOWN", f"there is no repository {name}")
        if not _NUMBER.fullmatch(query.get("n", "0")):
            raise Fault(400, "PAGINATION_NUMBER_INVALID", "`n` is not a number")
        tags = sorted(tag for tag in layout.tags() if is_tag(tag) and tag > query.get("last", ""))
        page = tags[: int(query["n"])] if "n" in query else tags
        link = next_page(request, {"n": query["n"], "last": page[-1]}) if page and len(page) < len(tags) else {}
        return JSONResponse({"name": name, "tags": page}, headers=link)

    def referrers(self, request: Request) -> Response:
        """The manifests whose subject is this digest, whether it is here or not, in pages no larger than a manifest."""
        digest = Digest.parse(request.path_params["digest"])
        layout, query = self._repositories.existing(repository(request)), request.query_params
        listed = sorted(layout.referrers(digest), key=lambda entry: str(entry.digest)) if layout is not None else []
        entries = [
            entry.json()
            for entry in listed
            if entry.artifact_type == query.get("artifactType", entry.artifact_type)
            and str(entry.digest) > query.get("last", "")
        ]
        page = _page(entries)
        headers = {"Content-Type": OCI_INDEX}
        if "artifactType" in query:
            headers["OCI-Filters-Applied"] = "artifactType"
        if len(page) < len(entries):
            headers |= next_page(request, {**query, "last": page[-1]["digest"]})
        return Response(index_bytes(tuple(page)), headers=headers)


def _page(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many entries, but at least one, as an index of the size of a manifest can hold."""
    page: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        size += len(dumps(entry)) + 1
        if page and size > _LIST_BYTES:
            break
        page.append(entry)
    return page
