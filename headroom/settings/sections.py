"""The sections of the settings: every field with its default, its help, its environment variable and its flag."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator

from headroom.grants import Variable
from headroom.model import Fidelity, ModelSpec, Policy, PrunerSpec
from headroom.settings.parts import ApiUrl, Section, StoreUrl, UserPath, field

_WINDOWS = re.compile(r"(?:\s*[^\s=,]+\s*=\s*[1-9]\d{2,8}\s*(?:,|$))*")


class CompressionSettings(Section):
    fidelity: Fidelity = field(
        "reversible",
        "lossless: nothing is left out; reversible: what is left out is stored; off: forward untouched",
        env="HEADROOM_FIDELITY",
        flag="--fidelity",
    )
    min_tokens: int = field(150, "texts with fewer tokens are left as they are", env="HEADROOM_MIN_TOKENS", ge=1)
    ccr: bool = field(
        True,
        "--no-ccr: no model is offered the tool that reads back what was left out",
        env="HEADROOM_CCR",
        flag="--ccr/--no-ccr",
    )
    ccr_tokens: int = field(
        4000,
        "tokens that the first request of a conversation must leave out for its model to be offered that tool; 0: whenever it has tools",
        env="HEADROOM_CCR_TOKENS",
        ge=0,
    )
    deadline_ms: int = field(
        3000,
        "a request whose compression takes longer, per started million characters, is forwarded with its new texts untouched",
        env="HEADROOM_DEADLINE_MS",
        flag="--deadline-ms",
        ge=1,
    )
    processes: int = field(
        1, "processes that compress, beside the one that serves", env="HEADROOM_PROCESSES", flag="--processes", ge=1, le=64
    )

    learn: bool = field(
        True, "whether what is asked for again shapes how later outputs of the same tool are compressed", env="HEADROOM_LEARN"
    )

    @property
    def policy(self) -> Policy:
        return Policy(self.fidelity, self.min_tokens)


class ScoringSettings(Section):
    model: str = field(
        "sentence-transformers/all-MiniLM-L6-v2",
        "embedding model: a directory or a name of the Hugging Face hub; off: scores by words alone. Needs headroom[embed] or [embed-onnx]",
        env="HEADROOM_EMBED_MODEL",
        min_length=1,
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = field("auto", "where the model runs", env="HEADROOM_EMBED_DEVICE")
    engine: Literal["auto", "onnx", "torch"] = field(
        "auto",
        "what runs the model; auto: onnxruntime, on the CPU, if that is installed and the model has an ONNX file, and torch otherwise",
        env="HEADROOM_EMBED_ENGINE",
    )
    batch_size: int = field(32, "texts the model takes at once", env="HEADROOM_EMBED_BATCH_SIZE", ge=1)
    threads: int = field(1, "threads of one model", env="HEADROOM_EMBED_THREADS", ge=1)
    cache_entries: int = field(20_000, "vectors kept in memory, about 2 KB each", env="HEADROOM_EMBED_CACHE_ENTRIES", ge=0)
    download: bool = field(
        False, "whether a model that is not on this machine is downloaded when it is first needed", env="HEADROOM_EMBED_DOWNLOAD"
    )

    @property
    def enabled(self) -> bool:
        return self.model != "off"

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(self.model, self.device, self.batch_size, self.threads, self.download, self.engine)


class LLMLinguaSettings(Section):
    enabled: bool = field(
        False,
        "--llmlingua: prose is made shorter by an LLMLingua-2 model. Needs headroom[llmlingua] and a model on this machine",
        env="HEADROOM_LLMLINGUA",
        flag="--llmlingua/--no-llmlingua",
    )
    model: str = field(
        "microsoft/llmlingua-2-bert-base-multilingual-cased-meetingbank",
        "LLMLingua-2 model: a directory or a name of the Hugging Face hub",
        env="HEADROOM_LLMLINGUA_MODEL",
        flag="--llmlingua-model",
        min_length=1,
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = field(
        "auto", "where the model runs", env="HEADROOM_LLMLINGUA_DEVICE", flag="--llmlingua-device"
    )
    rate: float = field(
        0.3,
        "share of a text's tokens that stays; more where more must: numbers, names, code, negations",
        env="HEADROOM_LLMLINGUA_RATE",
        flag="--llmlingua-rate",
        ge=0.05,
        le=1,
    )
    threshold: float = field(
        0.0,
        "words that the model finds less probable to matter than this go too, however much may stay",
        env="HEADROOM_LLMLINGUA_THRESHOLD",
        ge=0,
        lt=1,
    )
    min_tokens: int = field(
        300,
        "tokens from which a text is given to the model; `headroom doctor` says from where it pays on this device",
        env="HEADROOM_LLMLINGUA_MIN_TOKENS",
        ge=1,
    )
    deadline_ms: int = field(
        1000, "milliseconds that a request waits for the model; then it goes on without", env="HEADROOM_LLMLINGUA_DEADLINE_MS", ge=1
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = field(
        "auto", "numbers the model computes with; auto: the fastest that the device has", env="HEADROOM_LLMLINGUA_DTYPE"
    )
    batch_tokens: int = field(0, "tokens the model takes at once; 0: what suits the device", env="HEADROOM_LLMLINGUA_BATCH_TOKENS", ge=0)
    threads: int = field(0, "threads of the model on a CPU; 0: one for each core", env="HEADROOM_LLMLINGUA_THREADS", ge=0)
    memory_fraction: float = field(
        1.0, "share of a GPU's memory that one model may take", env="HEADROOM_LLMLINGUA_MEMORY_FRACTION", gt=0, le=1
    )
    sha256: str = field(
        "",
        "SHA-256 of the model's weights (model.safetensors); other weights are refused",
        env="HEADROOM_LLMLINGUA_SHA256",
        pattern=r"^([0-9a-fA-F]{64})?$",
    )
    download: bool = field(
        False, "whether a model that is not on this machine is downloaded when it is first needed", env="HEADROOM_LLMLINGUA_DOWNLOAD"
    )

    @property
    def spec(self) -> PrunerSpec:
        return PrunerSpec(
            self.model, self.device, self.dtype, self.batch_tokens, self.threads, self.memory_fraction, self.sha256, self.download
        )


def _windows(value: str) -> str:
    """Patterns of model names with tokens."""
    if not _WINDOWS.fullmatch(value):
        raise ValueError("must be like `my-model=32000,llama-*=8000`")
    return value


class ContextSettings(Section):
    intelligent: bool = field(
        True,
        "--no-intelligent-context: of a conversation that outgrows its model the oldest parts leave first, not the least important",
        env="HEADROOM_INTELLIGENT_CONTEXT",
        flag="--intelligent-context/--no-intelligent-context",
    )
    scoring: bool = field(
        True,
        "--no-intelligent-scoring: importance is position alone",
        env="HEADROOM_INTELLIGENT_SCORING",
        flag="--intelligent-scoring/--no-intelligent-scoring",
    )
    compress_first: bool = field(
        True,
        "--no-compress-first: what does not fit whole leaves, instead of staying in part",
        env="HEADROOM_COMPRESS_FIRST",
        flag="--compress-first/--no-compress-first",
    )
    windows: Annotated[str, AfterValidator(_windows)] = field(
        "",
        "tokens that models take, where the known ones are wrong or missing: `my-model=32000,llama-*=8000`, the first that matches counts",
        env="HEADROOM_CONTEXT_WINDOWS",
    )
    default_window: int = field(128_000, "tokens that a model takes of which nothing is known", env="HEADROOM_DEFAULT_WINDOW", ge=1000)
    output_reserve: int = field(
        4096, "tokens kept free for the answer when the request does not limit it", env="HEADROOM_OUTPUT_RESERVE", ge=1
    )
    reserve: float = field(
        0.2, "share of the window that a cut leaves free, so that the next one is far away", env="HEADROOM_CONTEXT_RESERVE", ge=0, le=0.9
    )
    protect_turns: int = field(4, "user turns at the end that stay whole where they fit", env="HEADROOM_PROTECT_TURNS", ge=1)

    @property
    def overrides(self) -> tuple[tuple[str, int], ...]:
        """(pattern of a model's name, tokens) in their order."""
        pairs = (item.partition("=") for item in self.windows.split(",") if item.strip())
        return tuple((pattern.strip(), int(tokens)) for pattern, _, tokens in pairs)


class StoreSettings(Section):
    url: StoreUrl = field(
        "",
        "where state is kept: sqlite:///PATH for one machine, redis:// or rediss:// for several; empty: the SQLite file of `store.path`",
        env="HEADROOM_STORE_URL",
        flag="--store-url",
        pattern=r"^($|sqlite:///.|rediss?://.|unix://.)",
        repr=False,
    )
    path: UserPath | None = field(
        None, "SQLite file of the reversible store (default: store.sqlite in the home directory)", env="HEADROOM_STORE_PATH"
    )
    ttl_hours: float = field(24.0, "idle lifetime of an original; every use renews it", env="HEADROOM_STORE_TTL_HOURS", gt=0)
    max_mb: int = field(2048, "size of the store; above it the least recently used originals go", env="HEADROOM_STORE_MAX_MB", ge=1)

    encryption_key: Variable = field(
        "HEADROOM_STORE_KEY",
        "variable that holds 32 bytes as hex or base64: what is stored is then encrypted (AES-GCM)",
        env="HEADROOM_STORE_ENCRYPTION_KEY",
    )
    blobs_url: str = field(
        "",
        "file:// or s3:// URL for originals that are still large; empty: in the store",
        env="HEADROOM_STORE_BLOBS_URL",
        repr=False,
    )
    blobs_above_kb: int = field(256, "originals of more kilobytes go there", env="HEADROOM_STORE_BLOBS_ABOVE_KB", ge=0)

    @property
    def is_redis(self) -> bool:
        return bool(self.url) and not self.url.startswith("sqlite:")


class CacheSettings(Section):
    enabled: bool = field(
        True, "--no-cache: no request is answered with an earlier answer", env="HEADROOM_CACHE", flag="--cache/--no-cache"
    )
    sampled: bool = field(
        False,
        "whether requests that are sampled (neither a temperature of 0 nor a seed) are answered from the cache too; "
        "without it one that is sent again gets a new answer",
        env="HEADROOM_CACHE_SAMPLED",
    )
    single_flight: bool = field(
        True,
        "whether a request that takes part, streams nothing and has no tools waits for the answer to an equal one that is on its way",
        env="HEADROOM_CACHE_SINGLE_FLIGHT",
    )
    semantic: bool = field(
        True,
        "whether a lone question without tools is also answered with the answer to one that says the same in other words; "
        "needs an embedding model",
        env="HEADROOM_CACHE_SEMANTIC",
    )
    threshold: float = field(
        0.8,
        "cosine of two questions from which on their words are compared; above all it says how many need to be",
        env="HEADROOM_CACHE_THRESHOLD",
        ge=0.5,
        le=1,
    )
    lookup_ms: int = field(
        40,
        "milliseconds for finding an earlier question, its vector included; later than that the provider is asked",
        env="HEADROOM_CACHE_LOOKUP_MS",
        ge=1,
    )
    semantic_entries: int = field(100_000, "questions kept; above it the oldest go", env="HEADROOM_CACHE_SEMANTIC_ENTRIES", ge=100)
    semantic_mb: int = field(
        512,
        "memory for them in one process; above it the namespaces go that were not asked for longest",
        env="HEADROOM_CACHE_SEMANTIC_MB",
        ge=1,
    )
    snapshot_dir: UserPath | None = field(
        None, "directory of the index's snapshots (default: semantic in the home directory)", env="HEADROOM_CACHE_SNAPSHOT_DIR"
    )
    snapshot_every: int = field(
        1000, "questions after which the index is saved, and a tenth of those it holds", env="HEADROOM_CACHE_SNAPSHOT_EVERY", ge=1
    )
    ttl_s: float = field(3600.0, "seconds for which an answer is given again", env="HEADROOM_CACHE_TTL_S", gt=0)
    max_mb: int = field(256, "size of all cached answers; above it the oldest go", env="HEADROOM_CACHE_MAX_MB", ge=1)


class UpstreamSettings(Section):
    anthropic_api_url: ApiUrl = field(
        "https://api.anthropic.com",
        "where Anthropic requests go",
        env="ANTHROPIC_TARGET_API_URL",
        flag="--anthropic-api-url",
    )
    openai_api_url: ApiUrl = field(
        "https://api.openai.com", "where OpenAI requests go", env="OPENAI_TARGET_API_URL", flag="--openai-api-url"
    )
    connect_timeout_s: float = field(10.0, "seconds to reach the provider", env="HEADROOM_CONNECT_TIMEOUT_S", gt=0)
    idle_timeout_s: float = field(600.0, "seconds of silence from the provider before giving up", env="HEADROOM_IDLE_TIMEOUT_S", gt=0)


class StatsSettings(Section):
    url: str = field(
        "",
        "folder of the ledger's Parquet files: a path, or s3://BUCKET/PREFIX (default: stats in the home directory)",
        env="HEADROOM_STATS_URL",
        repr=False,
    )
    prices: UserPath | None = field(None, "TOML or YAML file with prices of one's own, before those that come along", env="HEADROOM_PRICES")
    savings_path: UserPath | None = field(
        None, "file with what was saved (default: proxy_savings.json in the home directory)", env="HEADROOM_SAVINGS_PATH"
    )
    compact_s: float = field(30.0, "seconds after which rows go from the journal to Parquet", env="HEADROOM_STATS_COMPACT_S", gt=0)
    retention_days: int = field(
        90, "days that the rows of requests are kept; hours, days, weeks and months stay", env="HEADROOM_STATS_RETENTION_DAYS", ge=2
    )
    holdout: float = field(
        0.0,
        "share of conversations that go uncompressed, so that what the others save is measured: 0.05 is enough for most",
        env="HEADROOM_HOLDOUT",
        ge=0,
        le=0.5,
    )
    spool_mb: int = field(
        512,
        "rows that wait on a node while the Stats deployment is away; beyond it they are dropped and counted",
        env="HEADROOM_SPOOL_MB",
        ge=1,
    )


class TelemetrySettings(Section):
    enabled: bool = field(
        True,
        "--no-telemetry: no report of a day is kept or sent, and kept ones are deleted. It holds sums over everybody, no name and no text: "
        "`headroom telemetry --show`",
        env="HEADROOM_TELEMETRY",
        flag="--telemetry/--no-telemetry",
    )
    endpoint: str = field(
        "",
        "URL of the organisation's own that takes the reports (POST, JSON); without it they stay in the home directory",
        env="HEADROOM_TELEMETRY_ENDPOINT",
        pattern=r"^($|https?://.)",
        repr=False,
    )


class TracingSettings(Section):
    endpoint: str = field(
        "",
        "OTLP endpoint (HTTP) that takes traces, without /v1/traces; empty: none are made. Needs headroom[otel]",
        env="OTEL_EXPORTER_OTLP_ENDPOINT",
        pattern=r"^($|https?://.)",
        repr=False,
    )
    service: str = field("headroom", "name of the service in traces", env="OTEL_SERVICE_NAME", min_length=1)
    sample: float = field(
        1.0, "share of the requests that are traced, where the client's own trace does not say", env="HEADROOM_TRACE_SAMPLE", ge=0, le=1
    )


class ClientSettings(Section):
    """For commands that talk to a running Headroom, and where the tools they set up keep their files."""

    base_url: str = field(
        "", "Headroom that commands and the MCP server talk to (default: the proxy on this machine)", env="HEADROOM_BASE_URL"
    )
    api_key: str = field("", "credential they send to it", env="HEADROOM_API_KEY", repr=False)
    claude_config_dir: UserPath | None = field(
        None, "directory of Claude Code's settings (default: ~/.claude, and ~/.claude.json beside it)", env="CLAUDE_CONFIG_DIR"
    )
    codex_home: UserPath | None = field(None, "directory of Codex's settings (default: ~/.codex)", env="CODEX_HOME")
