"""`HeadroomCallback` for LiteLLM: `litellm.callbacks = [HeadroomCallback()]`, or in the `callbacks:` of its proxy's YAML.

It compresses where a deployment has been chosen and the request is about to be sent, once per attempt: for `acompletion`, the Router
and LiteLLM's proxy. LiteLLM calls no such hook for its blocking `completion`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from headroom.integrations.bodies import Shrink
from headroom.settings import Settings
from headroom.store import Store


class HeadroomCallback(CustomLogger):
    def __init__(self, *, store: Store | None = None, settings: Settings | None = None) -> None:
        super().__init__()
        self._shrink = Shrink(store, settings)

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any] | None:
        """The request with smaller messages; None leaves it as it is."""
        messages = kwargs.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
            return None
        smaller = await asyncio.to_thread(self._shrink.messages, messages, str(kwargs.get("model") or ""))
        return None if smaller is messages else {**kwargs, "messages": smaller}


callback = HeadroomCallback()  # `callbacks: headroom.integrations.litellm.callback` in a YAML
