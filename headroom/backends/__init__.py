"""The clouds: what a setting calls a backend -> the backend. Raises SettingsError for one that cannot work, naming what to set."""

from __future__ import annotations

import tomllib
from importlib.resources import files

from headroom.backends.azure import Azure
from headroom.backends.base import Ask, Backend, Broken, Outgoing, Reader
from headroom.backends.bedrock import Bedrock
from headroom.backends.direct import Anthropic, OpenAI
from headroom.backends.openai_compatible import OpenAICompatible
from headroom.backends.openrouter import OpenRouter
from headroom.backends.vertex_ai import VertexAI
from headroom.settings import BackendSpec

BACKENDS = {backend.kind: backend for backend in (Anthropic, OpenAI, Azure, Bedrock, OpenAICompatible, OpenRouter, VertexAI)}


def open_backend(name: str, spec: BackendSpec) -> Backend:
    """The backend of a spec, with its credential at hand. Raises SettingsError."""
    table = tomllib.loads(files(__name__).joinpath("models.toml").read_text(encoding="utf-8"))
    return BACKENDS[spec.kind](name, spec, table.get(spec.kind, {}))


__all__ = ["BACKENDS", "Ask", "Backend", "Broken", "Outgoing", "Reader", "open_backend"]
