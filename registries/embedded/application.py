"""The routes of the embedded registry, and who is let in.

Source: OCI distribution-spec 1.1, "Endpoints".
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from registries.embedded.access import Access, Doorkeeper
from registries.embedded.answers import Fault, answer_error
from registries.embedded.blobs import Blobs
from registries.embedded.lists import Lists
from registries.embedded.manifests import Manifests
from registries.embedded.repositories import Repositories
from registries.errors import Refusal


def application(repositories: Repositories, access: Access | None = None) -> ASGIApp:
    """The registry, as an ASGI application; without `access`, everybody may do everything."""
    served = Starlette(
        routes=_routes(repositories),
        exception_handlers=dict.fromkeys((Fault, Refusal, HTTPException, ClientDisconnect, Exception), answer_error),
    )
    served.router.redirect_slashes = False
    return served if access is None else Doorkeeper(served, access)


def _routes(repositories: Repositories) -> list[Route]:
    blobs, manifests, lists = Blobs(repositories), Manifests(repositories), Lists(repositories)
    name = "/v2/{name:path}"
    upload, blob = f"{name}/blobs/uploads/{{session}}", f"{name}/blobs/{{digest}}"
    manifest = f"{name}/manifests/{{reference}}"
    return [
        Route("/v2/", _version),
        Route(f"{name}/blobs/uploads/", blobs.begin, methods=["POST"]),
        Route(upload, blobs.progress, methods=["GET"]),
        Route(upload, blobs.append, methods=["PATCH"]),
        Route(upload, blobs.finish, methods=["PUT"]),
        Route(upload, blobs.cancel, methods=["DELETE"]),
        Route(blob, blobs.get, methods=["GET"]),
        Route(blob, blobs.delete, methods=["DELETE"]),
        Route(manifest, manifests.get, methods=["GET"]),
        Route(manifest, manifests.push, methods=["PUT"]),
        Route(manifest, manifests.delete, methods=["DELETE"]),
        Route(f"{name}/tags/list", lists.tags, methods=["GET"]),
        Route(f"{name}/referrers/{{digest}}", lists.referrers, methods=["GET"]),
    ]


def _version(_: Request) -> Response:
    return JSONResponse({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})
