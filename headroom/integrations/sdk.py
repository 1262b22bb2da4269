"""`with_headroom(client)`: the official OpenAI and Anthropic clients, sync and async, with smaller requests.

The result is a client of the same class. It hooks in where the SDKs let a subclass prepare a request, before it is signed and sent,
so every way of asking (streams, raw responses, parsed answers, retries) works as it did. Other clients of the class are not touched.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, TypeVar

from headroom.integrations.bodies import Shrink
from headroom.settings import Settings
from headroom.store import Store

_Client = TypeVar("_Client")


def with_headroom(client: _Client, *, store: Store | None = None, settings: Settings | None = None) -> _Client:
    """A copy of the client that compresses; it shares the connections of the original.

    Raises TypeError for anything but a client of the `openai` or `anthropic` package.
    """
    kind: Any = type(client)
    if not (hasattr(kind, "_prepare_options") and hasattr(kind, "copy")):
        raise TypeError(f"with_headroom takes a client of the openai or anthropic package, not {kind.__name__}")
    shrink = Shrink(store, settings)

    def prepare(self: Any, options: Any) -> Any:
        return kind._prepare_options(self, _smaller(options, shrink))

    async def prepare_async(self: Any, options: Any) -> Any:
        return await kind._prepare_options(self, await asyncio.to_thread(_smaller, options, shrink))

    hook = prepare_async if inspect.iscoroutinefunction(kind._prepare_options) else prepare
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "_prepare_options": hook}
    copied: Any = kind.copy(client)
    copied.__class__ = type(kind.__name__, (kind,), names)
    result: _Client = copied
    return result


def _smaller(options: Any, shrink: Shrink) -> Any:
    """The SDK's request options with a smaller body."""
    body = options.json_data
    if options.method.lower() != "post" or not isinstance(body, dict):
        return options
    smaller = shrink.object(body, options.url)
    if smaller is not body:
        options = options.copy() if not hasattr(options, "model_copy") else options.model_copy()
        options.json_data = smaller
    return options
