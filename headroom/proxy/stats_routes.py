"""What was saved, for operators: totals, history, metrics. The same from every process of a ledger."""

from __future__ import annotations

import asyncio
import json
from typing import Any, get_args

from fastapi import APIRouter, Request
from starlette.responses import Response

from headroom.proxy import openapi
from headroom.proxy.admission import admit_operator
from headroom.proxy.learning_routes import summary
from headroom.proxy.sdk_routes import declared
from headroom.proxy.services import Services
from headroom.stats import exposition, holdout, report
from headroom.stats.rows import SCHEMA_VERSION
from headroom.stats.series import Series
from headroom.stats.tally import by_name


def stats_routes(router: APIRouter, services: Services) -> None:
    settings = services.settings
    retention = {"outcomes_days": settings.stats.retention_days, "rollups": "unlimited"}

    @router.get("/stats", summary="What was saved, in all or of a part", openapi_extra=openapi.STATS)
    async def stats(request: Request) -> Response:
        admit_operator(request.headers, settings)
        query = report.query_of(request.query_params)
        view = await services.recorder.look(query)
        body = report.stats(view.total, view.recent, settings.compression.fidelity)
        stored = await services.store.blob_stats()
        body["compression"] = {
            "ccr_entries": stored.entries,
            "ccr_retrievals": stored.retrievals,
            "ccr_rounds": view.total["rounds"],
        }
        kept = await services.store.answer_stats()
        hits, ttl_s = view.total["cached"], settings.cache.ttl_s
        body["cache"] = {"entries": kept.entries, "bytes": kept.bytes, "total_hits": hits, "ttl_seconds": ttl_s}
        learned = await asyncio.to_thread(services.learning.everybody) if services.learning else []
        body["toin"] = summary(learned, services.learning is not None)
        body["persistent_savings"] = {
            "schema_version": SCHEMA_VERSION,
            "storage_path": view.path,
            "lifetime": report.lifetime(view.total),
            "display_session": view.session,
            "recent_history": list(view.recent)[:20],
            "retention": retention,
        }
        body["holdout"] = {"share": settings.stats.holdout, **holdout.measured(view.total)}
        body["policies"] = {**services.rollout.shown(), "requests": by_name(view.total, "policy")}
        body["ledger"] = {"dropped_outcomes": services.recorder.dropped}
        return _json(declared(body, learned))

    @router.get("/stats-history", summary="What was saved over time, as JSON or CSV", openapi_extra=openapi.HISTORY)
    async def history(request: Request) -> Response:
        admit_operator(request.headers, settings)
        parameters = request.query_params
        form, name = parameters.get("format", "json"), parameters.get("series", "history")
        if form not in ("json", "csv"):
            return _refused(f"format: must be json or csv, not {form[:40]!r}.")
        if name not in report.HISTORY:
            return _refused(f"series: must be one of {', '.join(report.HISTORY)}, not {name[:40]!r}.")
        query = report.query_of(parameters)
        series = await services.recorder.series(query)
        if form == "csv":
            rows = report.series_rows(series[name if name in get_args(Series) else "daily"])  # type: ignore[index]
            headers = {"content-disposition": f'attachment; filename="headroom-stats-history-{name}.csv"'}
            return Response(report.as_csv(rows), headers=headers, media_type="text/csv; charset=utf-8")
        view = await services.recorder.look(query)
        return _json(report.history(series, view.total, retention))

    @router.get("/metrics", summary="Prometheus metrics")
    async def metrics(request: Request) -> Response:
        admit_operator(request.headers, settings)
        view = await services.recorder.look()
        return Response(exposition.render(view.total, view.labels), headers={"content-type": exposition.CONTENT_TYPE})


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")


def _refused(message: str) -> Response:
    return _json({"error": {"type": "invalid_request", "message": message}}, 422)
