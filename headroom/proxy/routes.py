"""Our own routes: compress and retrieve for callers, health for machines, statistics for operators.

Errors are `{"error": {"type", "message"}}`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from headroom.ccr import retrieve
from headroom.errors import HeadroomError, InvalidRequest
from headroom.proxy import openapi
from headroom.proxy.admission import is_admin, known
from headroom.proxy.body import json_object, read_body
from headroom.proxy.compress_route import compress_body
from headroom.proxy.dashboard import dashboard_routes
from headroom.proxy.keys_route import keys_routes
from headroom.proxy.learning_routes import learning_routes
from headroom.proxy.sdk_routes import ccr_stats, sdk_routes
from headroom.proxy.services import Services
from headroom.proxy.stats_routes import stats_routes
from headroom.stats import report

_SMALL_BODY = 1_000_000


def own_routes(services: Services) -> APIRouter:
    """Everything under our own names; mounted before the provider's routes."""
    router = APIRouter()
    _caller_routes(router, services)
    _health_routes(router, services)
    stats_routes(router, services)
    learning_routes(router, services)
    sdk_routes(router, services)
    keys_routes(router, services)
    dashboard_routes(router, services)
    return router


def _caller_routes(router: APIRouter, services: Services) -> None:
    settings, admission = services.settings, services.admission

    @router.post("/v1/compress", summary="Compress messages without sending them", openapi_extra=openapi.COMPRESS)
    async def compress(request: Request) -> Response:
        caller = known(await admission.enter(request.headers, request.scope["path"]))
        body = await read_body(request.headers, request.receive, 1_000_000 * settings.max_body_mb)
        bypass = request.headers.get("x-headroom-bypass", "").lower() == "true"
        reply = await compress_body(body.decoded, caller, bypass, services)
        return Response(reply, media_type="application/json")

    async def answer(request: Request, digest: str, query: str | None) -> Response:
        """A plain GET of a whole original redeems a marker and teaches nothing: whoever checks them all must not end compression.

        What a model reads back is its own, so no limit of requests and no `routes` of a key stand in its way.
        """
        caller = known(await admission.identify(request.headers))
        original = await services.store.get_original(caller.scope, digest)
        if services.learning:
            services.learning.asked(caller.scope, original, query or "", taught=request.method != "GET")
        reply = retrieve.answer(original, query)
        services.retrievals.note(caller.scope, original, query or "", reply.get("count", original.items))
        return _json(reply)

    @router.post("/v1/retrieve", summary="Read back an original, or search in it", openapi_extra=openapi.RETRIEVE)
    async def retrieve_post(request: Request) -> Response:
        body = await read_body(request.headers, request.receive, _SMALL_BODY)
        wanted = json_object(body.decoded)
        digest, query = wanted.get("hash"), wanted.get("query")
        if not isinstance(digest, str) or not digest:
            raise InvalidRequest('hash: the hash of a marker is required, for example {"hash": "0123456789abcdef"}.')
        if query is not None and not isinstance(query, str):
            raise InvalidRequest("query: must be a string.")
        return await answer(request, digest, query)

    @router.post("/cache/clear", summary="Forget the caller's cached answers; with the admin key, everybody's")
    async def clear_cache(request: Request) -> Response:
        everybody = is_admin(request.headers, settings)
        scope = None if everybody else known(await admission.enter(request.headers, request.scope["path"])).scope
        cleared = await services.store.drop_answers(scope)
        await services.similar.clear(scope)
        return _json({"status": "cleared", "cleared": cleared, "scope": "all" if everybody else "own"})

    @router.get("/v1/retrieve/stats", summary="How much is stored and was asked for again")
    async def retrieve_stats(request: Request) -> Response:
        caller = known(await admission.enter(request.headers, request.scope["path"]))
        stats = await services.store.blob_stats()
        own = [await asyncio.to_thread(services.learning.learned, caller.scope)] if services.learning else []
        figures = {"ccr_entries": stats.entries, "ccr_bytes": stats.bytes, "ccr_retrievals": stats.retrievals}
        recent = services.retrievals.of(caller.scope)
        return _json({**figures, "store": ccr_stats(stats.entries, stats.retrievals, own), "recent_retrievals": recent})

    @router.get("/v1/retrieve/{digest}", summary="Read back an original, or search in it")
    async def retrieve_get(request: Request, digest: str, query: str | None = None) -> Response:
        return await answer(request, digest, query)


def _health_routes(router: APIRouter, services: Services) -> None:
    settings, started = services.settings, time.time()

    def checks() -> dict[str, dict[str, Any]]:
        ready, embed, similar, prune = services.compress.ready, services.embed, services.similar, services.prune
        return {
            "compressor": {"enabled": settings.optimize, "ready": ready, "status": "ready" if ready else "starting"},
            "scorer": {"enabled": settings.optimize and embed.enabled, "ready": embed.ready, "status": embed.status},
            "semantic_cache": {"enabled": similar.enabled, "ready": similar.ready, "status": similar.status},
            "llmlingua": {"enabled": settings.optimize and prune.enabled, "ready": prune.ready, "status": prune.status},
        }

    @router.get("/health", summary="Always 200 while the process answers")
    async def health() -> dict[str, Any]:
        return {
            "status": "healthy",
            "optimize": settings.optimize,
            "stats": report.health(services.recorder.glance().total),
            "version": version("headroom"),
            "ready": services.compress.ready or not settings.optimize,
            "uptime_seconds": round(time.time() - started, 1),
            "checks": checks(),
            "policies": services.rollout.shown(),
            "config": {
                "optimize": settings.optimize,
                "cache": settings.cache.enabled,
                "fidelity": settings.compression.fidelity,
                "backend": settings.backends.use or "by_route",
                "rate_limit": settings.limits.rate_limit,
            },
        }

    @router.get("/livez", summary="The event loop answers")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz", summary="200 when compression is ready, 503 before")
    async def readyz() -> Response:
        ready = services.compress.ready or not settings.optimize
        headers = {} if ready else {"retry-after": "1"}
        return _json({"status": "ready" if ready else "starting", "checks": checks()}, 200 if ready else 503, headers)

    @router.head("/", include_in_schema=False)
    async def head() -> Response:
        return Response()


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """ASCII, so that texts with lone surrogates can be told too."""
    return Response(json.dumps(content), status, headers, "application/json")


def own_error(failure: HeadroomError) -> Response:
    """An error of our own routes."""
    headers = {} if failure.retry_after_s is None else {"retry-after": str(failure.retry_after_s)}
    return _json({"error": {"type": failure.kind, "message": failure.message}}, failure.status, headers)
