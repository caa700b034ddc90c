"""What the embedded registry answers: its errors in one form, and the headers that several answers share.

Source: OCI distribution-spec 1.1, "Error Codes".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from registries.digest import Digest
from registries.errors import Refusal
from registries.reference import check_repository

# What refusals from below become; within a request they are about what the client sent or asked for.
_FAULTS: Final[Mapping[str, tuple[int, str]]] = {
    "reference-malformed": (400, "NAME_INVALID"),
    "digest-malformed": (400, "DIGEST_INVALID"),
    "algorithm-not-allowed": (400, "DIGEST_INVALID"),
    "digest-mismatch": (400, "DIGEST_INVALID"),
    "upload-not-found": (404, "BLOB_UPLOAD_UNKNOWN"),
    "upload-busy": (409, "BLOB_UPLOAD_INVALID"),
    "blob-not-found": (404, "BLOB_UNKNOWN"),
    "image-not-found": (404, "MANIFEST_UNKNOWN"),
    "credentials-missing": (401, "UNAUTHORIZED"),
    "credentials-refused": (401, "UNAUTHORIZED"),
}
_UNAUTHORIZED: Final = 401
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="samebits", charset="UTF-8"'}

_LOG = logging.getLogger(__name__)


class Fault(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


def answer_error(request: Request, error: Exception) -> Response:
    """Every error in the specification's form, by what it says of the request; what is our own fault is logged."""
    headers: Mapping[str, str] | None = None
    match error:
        case Fault():
            status, code, message, headers = error.status, error.code, str(error), error.headers
        case Refusal() if error.code in _FAULTS:
            (status, code), message = _FAULTS[error.code], str(error)
            headers = _CHALLENGE if status == _UNAUTHORIZED else None
        case HTTPException():  # from the router: no such path, or no such method on it
            status, code, message, headers = error.status_code, "UNSUPPORTED", error.detail, error.headers
        case ClientDisconnect():
            status, code, message = 400, "BLOB_UPLOAD_INVALID", "the client went away"
        case _:
            _LOG.error("%s %r", request.method, request.scope["path"], exc_info=error)
            status, code, message = 500, "UNKNOWN", "the registry failed; its log says why"
    return JSONResponse({"errors": [{"code": code, "message": message}]}, status, headers)


def repository(request: Request) -> str:
    """The repository that a path names."""
    name: str = request.path_params["name"]
    return check_repository(name, name)


def optional_digest(text: str | None) -> Digest | None:
    """The digest that a parameter gives, where it is given."""
    return None if text is None else Digest.parse(text)


def identity(digest: Digest) -> dict[str, str]:
    """How an answer names its content."""
    return {"Docker-Content-Digest": str(digest), "ETag": f'"{digest}"'}


def created(request: Request, what: str, digest: Digest, subject: Digest | None = None) -> Response:
    """A blob or manifest is stored."""
    headers = {"Location": f"/v2/{repository(request)}/{what}/{digest}", **identity(digest)}
    if subject is not None:
        headers["OCI-Subject"] = str(subject)
    return Response(status_code=201, headers=headers)


def next_page(request: Request, parameters: Mapping[str, str]) -> dict[str, str]:
    """Where a list goes on. RFC 8288."""
    return {"Link": f'<{request.scope["path"]}?{urlencode(parameters)}>; rel="next"'}
