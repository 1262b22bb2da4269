"""What the adapters share: a request's body or messages made smaller, or left as they are with a reason in the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headroom.errors import HeadroomError
from headroom.library import compress, compress_body
from headroom.settings import Settings
from headroom.store import Store

_log = logging.getLogger("headroom.integrations")


@dataclass(frozen=True, slots=True)
class Shrink:
    """How to compress: by default with the settings of the environment, into the store that `headroom retrieve` reads."""

    store: Store | None = None
    settings: Settings | None = None

    def bytes(self, raw: bytes, path: str) -> bytes:
        """A body; `raw` itself when it stays as it is."""
        try:
            return compress_body(raw, path, store=self.store, settings=self.settings)
        except HeadroomError as failure:
            _log.warning("a request to %s goes out as it is: %s", path, failure.message)
            return raw

    def object(self, body: Mapping[str, Any], path: str) -> Mapping[str, Any]:
        """A body that is not serialised yet; `body` itself when it stays as it is."""
        try:
            raw = json.dumps(body).encode()
        except (TypeError, ValueError, RecursionError):
            return body  # its own client serialises, or refuses, what JSON cannot say
        smaller = self.bytes(raw, path)
        if smaller is raw:
            return body
        new = json.loads(smaller)
        assert isinstance(new, dict)
        return new

    def messages(self, messages: Sequence[Mapping[str, Any]], model: str) -> Sequence[Mapping[str, Any]]:
        """Messages; the very ones that were given when they stay as they are."""
        try:
            done = compress(messages, model=model, store=self.store, settings=self.settings)
        except HeadroomError as failure:
            _log.warning("messages go out as they are: %s", failure.message)
            return messages
        return done.messages if done.transforms_applied else messages
