"""Headroom makes LLM requests smaller without changing what the model can answer.

`compress` is the library; `with_headroom` and `HeadroomMiddleware` put it into other programs; `headroom proxy` and `serve run` are the
gateway. Nothing runs on import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headroom.integrations.asgi import HeadroomMiddleware
    from headroom.integrations.sdk import with_headroom
    from headroom.library import CompressResult, compress
    from headroom.outcome import Outcome
    from headroom.settings import Settings

__all__ = ["CompressResult", "HeadroomMiddleware", "Outcome", "Settings", "compress", "with_headroom"]
_HOMES = {
    "CompressResult": "headroom.library",
    "HeadroomMiddleware": "headroom.integrations.asgi",
    "Outcome": "headroom.outcome",
    "Settings": "headroom.settings",
    "compress": "headroom.library",
    "with_headroom": "headroom.integrations.sdk",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headroom' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
