"""What was learned from a caller's traffic, as the TypeScript SDK asks for it: `/v1/toin/stats`, `/patterns`, `/pattern/{hash}`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from headroom.errors import NotFound
from headroom.learning import Learned
from headroom.proxy.admission import known
from headroom.proxy.services import Services
from headroom.scoring import toin

_MANY = 20  # cut outputs after which a rate says something


def learning_routes(router: APIRouter, services: Services) -> None:
    """Add the routes; each caller sees what was learned from its own traffic."""

    async def learned(request: Request) -> Learned:
        caller = known(await services.admission.enter(request.headers, request.scope["path"]))
        return await asyncio.to_thread(services.learning.learned, caller.scope) if services.learning else Learned()

    @router.get("/v1/toin/stats", summary="How much was learned about the outputs of tools")
    async def stats(request: Request) -> dict[str, Any]:
        found = await learned(request)
        return summary([found], services.learning is not None) | {"snapshot": found.version}

    @router.get("/v1/toin/patterns", summary="What was learned, per tool and structure of its outputs")
    async def patterns(request: Request, limit: int = 100) -> list[dict[str, Any]]:
        found = await learned(request)
        rows = [pattern(name, counts) for name, counts in found.patterns.items()]
        return sorted(rows, key=lambda row: (-row["compressions"], row["hash"]))[: max(0, limit)]

    @router.get("/v1/toin/pattern/{prefix}", summary="What was learned about one of them, counts included")
    async def one(request: Request, prefix: str) -> dict[str, Any]:
        for name, counts in (await learned(request)).patterns.items():
            if len(prefix) >= 4 and _hash(name).startswith(prefix):
                return pattern(name, counts) | {"counts": counts}
        raise NotFound(f"no pattern begins with {prefix[:40]}; at least 4 digits are needed")


def summary(everything: Sequence[Learned], enabled: bool) -> dict[str, Any]:
    """The figures over some owners."""
    counts = [counts for learned in everything for counts in learned.patterns.values()]
    compressions, retrievals = (sum(item.get(name, 0) for item in counts) for name in ("compressed", "asked"))
    return {
        "enabled": enabled,
        "patterns_tracked": len(counts),
        "total_compressions": compressions,
        "total_retrievals": retrievals,
        "global_retrieval_rate": round(retrievals / compressions, 4) if compressions else 0.0,
        "patterns_with_recommendations": sum(_changes_something(item) for item in counts),
    }


def pattern(name: str, counts: Mapping[str, int]) -> dict[str, Any]:
    """One signature: what was seen of it lately, and what follows."""
    advice = toin.advice_from(counts)
    cut, asked = counts.get("cut", 0), counts.get("asked", 0)
    return {
        "hash": _hash(name),
        "tool_name": name.rpartition("#")[0],
        "compressions": counts.get("compressed", 0),
        "cut": cut,
        "retrievals": asked,
        "retrieval_rate": f"{100 * asked / max(1, cut):.1f}%",
        "confidence": round(min(1.0, cut / _MANY), 2),
        "skip_recommended": advice.whole,
        "optimal_max_items": round(counts.get("items_kept", 0) / max(1, cut)) + _items(counts, advice.tenths),
        "transforms": {name[3:]: count for name, count in counts.items() if name.startswith("by:")},
        "advice": asdict(advice),
    }


def _items(counts: Mapping[str, int], tenths: Sequence[int]) -> int:
    return round(counts.get("items", 0) * len(tenths) / 10 / max(1, counts.get("cut", 0)))


def _changes_something(counts: Mapping[str, int]) -> bool:
    advice = toin.advice_from(counts)
    return advice.whole or advice.errors or bool(advice.tenths or advice.fields)


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
