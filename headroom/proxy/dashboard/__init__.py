"""`/dashboard`: a page for the wall. Page and assets hold no data and are open; what they show comes from `/dashboard/data`.

Everything is served from this package: no CDN, nothing inline, so the page runs under a strict Content-Security-Policy.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import mimetypes
import time
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from headroom.errors import NotFound, StoreUnavailable
from headroom.proxy.admission import admit_operator
from headroom.proxy.services import Services
from headroom.stats import report

_ASSETS = Path(__file__).with_name("assets")
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    zipped: bytes
    etag: str
    media_type: str


@functools.cache
def _assets() -> dict[str, _Asset]:
    """Every file of the page by its path; nothing else is ever read."""
    return {str(file.relative_to(_ASSETS)): _read(file) for file in sorted(_ASSETS.rglob("*")) if file.is_file()}


def _read(file: Path) -> _Asset:
    body = file.read_bytes()
    kind = mimetypes.guess_type(file.name)[0] or "text/plain"
    return _Asset(body, gzip.compress(body, 9, mtime=0), f'"{hashlib.sha256(body).hexdigest()[:16]}"', kind)


def _answer(name: str, request: Request) -> Response:
    """Raises NotFound."""
    asset = _assets().get(name)
    if asset is None:
        raise NotFound("The dashboard has no such file.")
    headers = _HEADERS | {"etag": asset.etag, "vary": "accept-encoding"}
    if request.headers.get("if-none-match", "").removeprefix("W/") == asset.etag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.zipped, headers=headers | {"content-encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.body, headers=headers, media_type=asset.media_type)


async def _originals(services: Services) -> dict[str, int] | None:
    """What is kept of texts that were made smaller; None when the store does not answer."""
    try:
        stored = await services.store.blob_stats()
    except StoreUnavailable:
        return None
    return {"stored": stored.entries, "bytes": stored.bytes, "asked_again": stored.retrievals}


def dashboard_routes(router: APIRouter, services: Services) -> None:
    """Add the routes."""
    settings = services.settings

    @router.get("/dashboard", include_in_schema=False)
    async def page(request: Request) -> Response:
        return _answer("index.html", request)

    @router.get("/dashboard/", include_in_schema=False)
    async def slash() -> Response:
        return RedirectResponse("../dashboard", 308)

    @router.get("/dashboard/data", summary="What the dashboard shows: ?by=&split=&from=&to=&team=&model=&client=&user=&provider=")
    async def data(request: Request) -> Response:
        admit_operator(request.headers, settings)
        from headroom.stats.panel import panel, wish_of

        wish = wish_of(request.query_params)
        board = await services.recorder.board(wish)
        view = await services.recorder.look(fresh=False)
        body = panel(board, wish) | {
            "now": round(time.time(), 3),
            "lifetime": {"requests": view.total["requests"], "cost": report.cost(view.total)},
            "originals": await _originals(services),
            "dropped_outcomes": services.recorder.dropped,
            "recent": list(view.recent),
        }
        return Response(json.dumps(body), headers={"cache-control": "no-store"}, media_type="application/json")

    @router.get("/dashboard/{name:path}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        """Nothing below /dashboard goes to a provider."""
        folder, _, name = name.partition("/")
        return _answer(name if folder == "assets" else "", request)
