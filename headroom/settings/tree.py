"""The whole tree of the settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from headroom.model import Policy
from headroom.settings.backends import BackendsSettings
from headroom.settings.callers import AccessSettings, LimitsSettings
from headroom.settings.parts import Section, UserPath, field
from headroom.settings.sections import (
    CacheSettings,
    ClientSettings,
    CompressionSettings,
    ContextSettings,
    LLMLinguaSettings,
    ScoringSettings,
    StatsSettings,
    StoreSettings,
    TelemetrySettings,
    TracingSettings,
    UpstreamSettings,
)


class Settings(Section):
    """The whole tree. Frozen; build it with `load` or directly with keyword arguments."""

    host: str = field("127.0.0.1", "address to listen on", env="HEADROOM_HOST", flag="--host")
    port: int = field(8787, "port to listen on", env="HEADROOM_PORT", flag="--port", ge=0, le=65535)
    workers: int = field(1, "server processes", env="HEADROOM_WORKERS", flag="--workers", ge=1, le=64)
    drain_s: int = field(
        10, "seconds in which open streams may end once the proxy is told to stop", env="HEADROOM_DRAIN_S", flag="--drain-s", ge=0
    )
    home: UserPath = field(Path("~/.headroom"), "directory of Headroom's own files, owner-only", env="HEADROOM_HOME")
    optimize: bool = field(True, "--no-optimize forwards everything untouched", env="HEADROOM_OPTIMIZE", flag="--optimize/--no-optimize")
    log_file: UserPath | None = field(
        None, "JSONL file, one object per request, never a prompt", env="HEADROOM_LOG_FILE", flag="--log-file"
    )
    policies: UserPath | None = field(
        None, "YAML file with policies by route, team and model; read again when it changes", env="HEADROOM_POLICIES", flag="--policies"
    )
    max_body_mb: int = field(100, "largest request body, also after decompression", env="HEADROOM_MAX_BODY_MB", ge=1)
    vocabulary_dir: UserPath | None = field(
        None, "directory with tiktoken's vocabularies, for machines without a network", env="TIKTOKEN_CACHE_DIR"
    )
    compression: CompressionSettings = CompressionSettings()
    context: ContextSettings = ContextSettings()
    scoring: ScoringSettings = ScoringSettings()
    llmlingua: LLMLinguaSettings = LLMLinguaSettings()
    store: StoreSettings = StoreSettings()
    cache: CacheSettings = CacheSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    backends: BackendsSettings = BackendsSettings()
    access: AccessSettings = AccessSettings()
    limits: LimitsSettings = LimitsSettings()
    stats: StatsSettings = StatsSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    tracing: TracingSettings = TracingSettings()
    client: ClientSettings = ClientSettings()

    @property
    def policy(self) -> Policy:
        """What shapes the bytes of a text."""
        lingua = self.llmlingua
        rate = lingua.rate if lingua.enabled else None
        return Policy(self.compression.fidelity, self.compression.min_tokens, llmlingua=lingua.enabled, llmlingua_rate=rate)

    @property
    def wants_vectors(self) -> bool:
        """Whether an embedding model was asked for, by a setting of it or of what needs one; by default one is used where there is one."""
        return bool(self.scoring.model_fields_set) or (self.cache.semantic and "semantic" in self.cache.model_fields_set)

    @property
    def store_path(self) -> Path:
        """The file of the SQLite store."""
        if self.store.url.startswith("sqlite:"):
            path = self.store.url.removeprefix("sqlite:///")
            return Path(path).expanduser() if path.startswith("~") else Path("/" + path.lstrip("/"))
        return self.store.path or self.home / "store.sqlite"

    @property
    def store_name(self) -> str:
        """The store as a person may see it: without a password."""
        if not self.store.is_redis:
            return str(self.store_path)
        return re.sub(r"//[^/]*@", "//", self.store.url).partition("?")[0]

    @property
    def callers(self) -> Literal["open", "credential", "keys"]:
        """How callers are told apart."""
        if self.access.callers != "auto":
            return self.access.callers
        if self.limits.keys is not None or self.access.jwt_keys:
            return "keys"
        return "open" if self.host in ("127.0.0.1", "localhost", "::1") else "credential"

    @property
    def open_access(self) -> bool:
        """Whether every caller is the same owner."""
        return self.callers == "open"
