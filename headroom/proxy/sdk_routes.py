"""Routes that the TypeScript SDK (`headroom-ai`) calls beside those everybody uses, in the shapes that it declares.

What is learned is a caller's own. What this process does not measure is 0 or empty, never made up.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

from headroom.ccr import tool
from headroom.errors import Expired, InvalidRequest, NotFound
from headroom.learning import Learned
from headroom.proxy import openapi
from headroom.proxy.admission import admit_operator, known
from headroom.proxy.body import json_object, read_body
from headroom.proxy.learning_routes import pattern, summary
from headroom.proxy.services import Services
from headroom.proxy.telemetry import Telemetry
from headroom.scoring import toin

_SMALL_BODY = 1_000_000
_MB = 1024 * 1024
_COUNTED, _NAME_CHARS = 150, 200  # of a signature that is imported


def sdk_routes(router: APIRouter, services: Services) -> None:
    """Add the routes."""
    _tool_call(router, services)
    _telemetry(router, services)
    _feedback(router, services)

    @router.get("/debug/memory", summary="Memory of this process")
    async def memory(request: Request) -> dict[str, Any]:
        admit_operator(request.headers, services.settings)
        return memory_usage()


def _tool_call(router: APIRouter, services: Services) -> None:
    @router.post(
        "/v1/retrieve/tool_call",
        summary="Answer a model's call of headroom_retrieve, for a program that has the model's answer",
        openapi_extra=openapi.TOOL_CALL,
    )
    async def tool_call(request: Request) -> dict[str, Any]:
        caller = known(await services.admission.identify(request.headers))
        asked = json_object((await read_body(request.headers, request.receive, _SMALL_BODY)).decoded)
        call = asked.get("tool_call")
        if not isinstance(call, dict):
            raise InvalidRequest(
                'tool_call: the call as it stands in the model\'s answer, for example {"id": ..., "input": {"hash": ...}}.'
            )
        id, arguments, anthropic = _read_call(call, asked.get("provider"))
        try:
            wish = tool.wish(arguments)
            original = await services.store.get_original(caller.scope, wish.hash)
        except tool.Malformed as failure:
            return _result(id, str(failure), anthropic, None)
        except (NotFound, Expired) as failure:
            return _result(id, f"Error: {failure.message}", anthropic, None)
        if services.learning:
            services.learning.asked(caller.scope, original, wish.query)
        services.retrievals.note(caller.scope, original, wish.query, original.items, "tool_call")
        data = {"hash": original.hash, "tool_name": original.tool, "original_tokens": original.tokens, "query": wish.query or None}
        return _result(id, tool.answer(original, wish), anthropic, data)


def _read_call(call: Mapping[str, Any], provider: Any) -> tuple[str, str, bool]:
    """(id, arguments as JSON, whether Anthropic's form is wanted) of a `tool_use` block or a `tool_calls` entry."""
    function = call.get("function")
    anthropic = provider == "anthropic" if provider in ("anthropic", "openai") else not isinstance(function, dict)
    arguments = function.get("arguments") if isinstance(function, dict) else call.get("input", call.get("arguments"))
    return str(call.get("id") or call.get("call_id") or ""), arguments if isinstance(arguments, str) else json.dumps(arguments), anthropic


def _result(id: str, text: str, anthropic: bool, data: Mapping[str, Any] | None) -> dict[str, Any]:
    result: dict[str, Any]
    if anthropic:
        result = {"type": "tool_result", "tool_use_id": id, "content": text, "is_error": data is None}
    else:
        result = {"role": "tool", "tool_call_id": id, "content": text}
    return {"tool_result": result, "success": data is not None, "data": data}


async def _learned(request: Request, services: Services) -> Learned:
    caller = known(await services.admission.enter(request.headers, request.scope["path"]))
    return await asyncio.to_thread(services.learning.learned, caller.scope) if services.learning else Learned()


def _telemetry(router: APIRouter, services: Services) -> None:
    @router.get("/v1/telemetry", summary="What was learned from the caller's traffic, in all; nothing of it is sent anywhere")
    async def stats(request: Request) -> dict[str, Any]:
        found = await _learned(request, services)
        sums, total = totals(found.patterns.values()), summary([found], services.learning is not None)
        before, after = sums["tokens_before"], sums["tokens_after"]
        return {
            "enabled": total["enabled"],
            "total_compressions": total["total_compressions"],
            "total_retrievals": total["total_retrievals"],
            "global_retrieval_rate": total["global_retrieval_rate"],
            "tool_signatures_tracked": total["patterns_tracked"],
            "avg_compression_ratio": round(after / before, 4) if before else 1.0,
            "avg_token_reduction": round((before - after) / before, 4) if before else 0.0,
        }

    @router.get("/v1/telemetry/report", summary="The report of the last whole day, as it would be sent; for operators")
    async def report(request: Request) -> dict[str, Any]:
        admit_operator(request.headers, services.settings)
        return await Telemetry(services.settings, services.recorder, services.store).report(time.time())

    @router.get("/v1/telemetry/export", summary="The counts behind it, without any value of the traffic")
    async def export(request: Request) -> dict[str, Any]:
        return {"version": 1, "patterns": (await _learned(request, services)).patterns}

    @router.post("/v1/telemetry/import", summary="Add counts that were exported, to the caller's own", openapi_extra=openapi.IMPORT)
    async def add(request: Request) -> dict[str, Any]:
        caller = known(await services.admission.enter(request.headers, request.scope["path"]))
        given = json_object((await read_body(request.headers, request.receive, _SMALL_BODY)).decoded)
        patterns = _counts(given.get("patterns"))
        if services.learning:
            services.learning.imported(caller.scope, patterns)
        return {"status": "imported" if services.learning else "disabled", "patterns": len(patterns)}

    @router.get("/v1/telemetry/tools", summary="Per tool and structure of its outputs")
    async def tools(request: Request) -> dict[str, Any]:
        found = await _learned(request, services)
        return {"tools": [pattern(name, counts) for name, counts in sorted(found.patterns.items())]}

    @router.get("/v1/telemetry/tools/{signature}", summary="One of them, by the beginning of its hash")
    async def tool_of(request: Request, signature: str) -> dict[str, Any]:
        for name, counts in (await _learned(request, services)).patterns.items():
            row = pattern(name, counts)
            if len(signature) >= 4 and row["hash"].startswith(signature):
                return row
        raise NotFound(f"no tool begins with {signature[:40]}; at least 4 digits are needed")


def _counts(given: Any) -> toin.Patterns:
    """Raises InvalidRequest for anything but what `export` gives, and for more than an owner can have learned."""
    if not isinstance(given, dict) or len(given) > toin.SIGNATURES or not all(map(_pattern, given, given.values())):
        raise InvalidRequest(
            f"patterns: must be what GET /v1/telemetry/export gives: counts by name, by signature; at most {toin.SIGNATURES} signatures "
            f"with {_COUNTED} counts each, and names of {_NAME_CHARS} characters."
        )
    return given


def _pattern(signature: str, counts: Any) -> bool:
    if not isinstance(counts, dict) or len(counts) > _COUNTED or any(len(name) > _NAME_CHARS for name in (signature, *counts)):
        return False
    return all(type(count) is int and 0 <= count < 1 << 31 for count in counts.values())


def _feedback(router: APIRouter, services: Services) -> None:
    @router.get("/v1/feedback", summary="How often outputs were asked for again, per tool")
    async def stats(request: Request) -> dict[str, Any]:
        found = await _learned(request, services)
        names = sorted({name.rpartition("#")[0] for name in found.patterns})
        return feedback([found]) | {"tool_patterns": {name: hints(name, found)["pattern"] for name in names}}

    @router.get("/v1/feedback/{tool_name:path}", summary="What follows for one tool")
    async def one(request: Request, tool_name: str) -> dict[str, Any]:
        return hints(tool_name, await _learned(request, services))


def feedback(everything: Iterable[Learned]) -> dict[str, Any]:
    """The figures over some owners, as `/stats` shows them too."""
    found = list(everything)
    total = summary(found, enabled=True)
    return {
        "tools_tracked": len({name.rpartition("#")[0] for learned in found for name in learned.patterns}),
        "total_compressions": total["total_compressions"],
        "total_retrievals": total["total_retrievals"],
        "global_retrieval_rate": total["global_retrieval_rate"],
    }


def hints(name: str, found: Learned) -> dict[str, Any]:
    """Advice and counts of a tool over all structures of its outputs; one that was never seen has none."""
    of_tool = [counts for signature, counts in found.patterns.items() if signature.rpartition("#")[0] == name]
    sums = totals(of_tool)
    advice = toin.advice_from(sums)
    cut, asked, whole = sums["cut"], sums["asked"], sums["whole"]
    kept = round(sums["items_kept"] / cut) if cut else 0
    return {
        "tool_name": name,
        "hints": {
            "max_items": round(sums["items"] / cut) if cut else 0,
            "min_items": kept,
            "suggested_items": list(advice.tenths),
            "aggressiveness": 0.0 if advice.whole else round(1 - advice.asked / 10, 2),
            "skip_compression": advice.whole,
            "preserve_fields": list(advice.fields),
            "reason": _reason(advice, asked),
        },
        "pattern": {
            "total_compressions": sums["compressed"],
            "total_retrievals": asked,
            "retrieval_rate": round(asked / cut, 4) if cut else 0.0,
            "full_retrieval_rate": round(whole / cut, 4) if cut else 0.0,
            "search_rate": round(max(0, asked - whole) / cut, 4) if cut else 0.0,
            "common_queries": [],  # queries are not kept
            "queried_fields": sorted(key[6:] for key in sums if key.startswith("field:")),
        },
    }


def _reason(advice: Any, asked: int) -> str:
    if advice.whole:
        return "its outputs are asked for again so often that they are left as they are"
    if advice.tenths or advice.errors or advice.fields:
        return "what is asked for again is kept"
    return f"asked for again {asked} times: too seldom for advice"


def totals(patterns: Iterable[Mapping[str, int]]) -> Counter[str]:
    """The counts of several signatures as those of one."""
    sums: Counter[str] = Counter()
    for counts in patterns:
        sums.update(counts)
    return sums


def memory_usage() -> dict[str, Any]:
    """Bytes that this process holds, and their share of the machine's; its worker processes are not in it."""
    rss, vms = _pages()
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "process_memory": {"rss": rss, "vms": vms, "percent": round(100 * rss / machine, 2)},
        "components": {"process": {"memory_mb": round(rss / _MB, 1), "budget_mb": round(machine / _MB, 1)}},
        "total_tracked_mb": round(rss / _MB, 1),
        "target_budget_mb": round(machine / _MB, 1),
    }


def _pages() -> tuple[int, int]:
    """(resident, virtual) bytes; where the system tells no more, the most that were ever resident."""
    file = Path("/proc/self/statm")
    if file.exists():
        size, resident = file.read_text().split()[:2]
        page = os.sysconf("SC_PAGE_SIZE")
        return int(resident) * page, int(size) * page
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak, peak


def ccr_stats(entries: int, retrievals: int, everything: Iterable[Learned]) -> dict[str, Any]:
    """The store's figures. It is bounded by size, not by entries; tokens are those of what was lately compressed."""
    sums = totals(counts for learned in everything for counts in learned.patterns.values())
    return {
        "entries": entries,
        "max_entries": 0,
        "original_tokens_cached": sums["tokens_before"],
        "compressed_tokens_cached": sums["tokens_after"],
        "retrievals": retrievals,
    }


def declared(body: dict[str, Any], everything: Iterable[Learned]) -> dict[str, Any]:
    """`GET /stats` with every field that the SDK declares; what is there already stays."""
    found = list(everything)
    figures = ccr_stats(0, 0, found)
    body.setdefault("cost", {})
    body.setdefault("waste_signals", {})
    body["feedback_loop"] = feedback(found)
    body["tokens"].setdefault("cli_tokens_avoided", 0)
    body["compression"] = {
        "ccr_max_entries": figures["max_entries"],
        "original_tokens_cached": figures["original_tokens_cached"],
        "compressed_tokens_cached": figures["compressed_tokens_cached"],
        **body["compression"],
    }
    for section in ("latency", "overhead"):
        body[section] = {name: value or 0.0 for name, value in body[section].items()}
    for spent in body["pipeline_timing"].values():
        spent.setdefault("max_ms", spent["average_ms"])
    body["recent_requests"] = [_metrics(row) for row in body["recent_requests"]]
    return body


def _metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    """A recent request with the SDK's names beside ours."""
    before, saved = row.get("tokens_before", 0), row.get("tokens_saved", 0)
    figures: dict[str, Any] = {
        "input_tokens_original": before,
        "input_tokens_optimized": before - saved,
        "tokens_input_before": before,
        "tokens_input_after": before - saved,
        "savings_percent": round(100 * saved / before, 2) if before else 0.0,
        "estimated_savings_percent": round(100 * saved / before, 2) if before else 0.0,
        "optimization_latency_ms": row.get("overhead_ms"),
        "total_latency_ms": row.get("total_ms"),
        "transforms_applied": row.get("transforms", []),
        "semantic_cache_hit": row.get("cache_hit", "") == "semantic",
    }
    timestamp = row.get("timestamp", 0)
    if isinstance(timestamp, int | float):
        figures["timestamp"] = datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds")
    unknown = {
        "model": "",
        "mode": "",
        "stream": False,
        "block_breakdown": {},
        "waste_signals": {},
        "stable_prefix_hash": "",
        "cache_alignment_score": 0,
        "cacheable_tokens": 0,
        "breakpoints_inserted": 0,
        "estimated_cache_hit": False,
        "tool_units_dropped": 0,
        "turns_dropped": 0,
        "messages_hash": "",
    }
    return {**unknown, **row, **figures}
