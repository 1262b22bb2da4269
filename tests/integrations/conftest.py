"""Where the adapters under test keep what they leave out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headroom.ccr import marker
from headroom.model import LOCAL
from headroom.settings import Settings
from headroom.store import Store, open_store
from tests.proxy.faces import rows

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # LiteLLM looks for prices on the network otherwise


class Kept:
    """Keywords for an adapter, and a look into its store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: Store = open_store(settings)

    @property
    def keywords(self) -> dict[str, Any]:
        return {"store": self.store, "settings": self.settings}

    def gives_back(self, forwarded: str, *originals: str) -> bool:
        """Whether what was forwarded is smaller, and its markers redeem these texts."""
        found = {self.store.get_original(LOCAL.scope, digest).text for digest in marker.hashes(forwarded)}
        return set(originals) <= found and len(forwarded) < sum(map(len, originals))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(Settings(home=tmp_path))
    yield kept
    kept.store.close()


@pytest.fixture
def outputs() -> list[str]:
    """What the tools of `openai_turns(3)` and `anthropic_turns(3)` print."""
    return [rows(turn) for turn in range(3)]
