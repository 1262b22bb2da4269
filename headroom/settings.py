"""Every setting of Headroom, its default, its environment variable and its flag: the only place that reads the environment.

Precedence: flag > environment > `~/.headroom/config.toml` > default. A key that is not a field is an error.
The TOML file and the YAML's `settings:` have the same tree as `Settings`.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from headroom.errors import SettingsError
from headroom.grants import Allowance, Grant, Lost, Name, Period, Variable
from headroom.model import Fidelity, ModelSpec, Policy


def _api_url(value: Any) -> Any:
    """`https://host/v1/` and `https://host` are the same base URL."""
    return value.rstrip("/").removesuffix("/v1").rstrip("/") if isinstance(value, str) else value


def _user_path(value: Any) -> Any:
    try:
        return Path(value).expanduser() if isinstance(value, str | Path) else value
    except RuntimeError:
        raise ValueError(f"{value}: there is no home directory, set HEADROOM_HOME to a path") from None


def _structured(value: Any) -> Any:
    """A list or mapping may be given as JSON, so that a variable can hold it; any other text is a path."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        return json.loads(value)
    return _user_path(value) if isinstance(value, str) else value


_WINDOWS = re.compile(r"(?:\s*[^\s=,]+\s*=\s*[1-9]\d{2,8}\s*(?:,|$))*")
ApiUrl = Annotated[str, Field(pattern=r"^https?://[^/\s]+"), BeforeValidator(_api_url)]
UserPath = Annotated[Path, BeforeValidator(_user_path)]


def _field(default: Any, help: str, *, env: str = "", flag: str = "", **limits: Any) -> Any:
    return Field(default, description=help, json_schema_extra={"env": env, "flag": flag}, validate_default=True, **limits)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CompressionSettings(_Section):
    fidelity: Fidelity = _field(
        "reversible",
        "lossless: nothing is left out; reversible: what is left out is stored; off: forward untouched",
        env="HEADROOM_FIDELITY",
        flag="--fidelity",
    )
    min_tokens: int = _field(150, "texts with fewer tokens are left as they are", env="HEADROOM_MIN_TOKENS", ge=1)
    ccr: bool = _field(
        True,
        "--no-ccr: no model is offered the tool that reads back what was left out",
        env="HEADROOM_CCR",
        flag="--ccr/--no-ccr",
    )
    ccr_tokens: int = _field(
        4000,
        "tokens that the first request of a conversation must leave out for its model to be offered that tool; 0: whenever it has tools",
        env="HEADROOM_CCR_TOKENS",
        ge=0,
    )
    deadline_ms: int = _field(
        3000,
        "a request whose compression takes longer, per started million characters, is forwarded with its new texts untouched",
        env="HEADROOM_DEADLINE_MS",
        flag="--deadline-ms",
        ge=1,
    )
    processes: int = _field(
        1, "processes that compress, beside the one that serves", env="HEADROOM_PROCESSES", flag="--processes", ge=1, le=64
    )

    learn: bool = _field(
        True, "whether what is asked for again shapes how later outputs of the same tool are compressed", env="HEADROOM_LEARN"
    )

    @property
    def policy(self) -> Policy:
        return Policy(self.fidelity, self.min_tokens)


class ScoringSettings(_Section):
    model: str = _field(
        "sentence-transformers/all-MiniLM-L6-v2",
        "embedding model: a directory or a name of the Hugging Face hub; off: scores by words alone. Needs headroom[embed]",
        env="HEADROOM_EMBED_MODEL",
        min_length=1,
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = _field("auto", "where the model runs", env="HEADROOM_EMBED_DEVICE")
    batch_size: int = _field(32, "texts the model takes at once", env="HEADROOM_EMBED_BATCH_SIZE", ge=1)
    threads: int = _field(1, "threads of one model", env="HEADROOM_EMBED_THREADS", ge=1)
    cache_entries: int = _field(20_000, "vectors kept in memory, about 2 KB each", env="HEADROOM_EMBED_CACHE_ENTRIES", ge=0)
    download: bool = _field(
        False, "whether a model that is not on this machine is downloaded when it is first needed", env="HEADROOM_EMBED_DOWNLOAD"
    )

    @property
    def enabled(self) -> bool:
        return self.model != "off"

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(self.model, self.device, self.batch_size, self.threads, self.download)


def _windows(value: str) -> str:
    """Patterns of model names with tokens."""
    if not _WINDOWS.fullmatch(value):
        raise ValueError("must be like `my-model=32000,llama-*=8000`")
    return value


class ContextSettings(_Section):
    intelligent: bool = _field(
        True,
        "--no-intelligent-context: of a conversation that outgrows its model the oldest parts leave first, not the least important",
        env="HEADROOM_INTELLIGENT_CONTEXT",
        flag="--intelligent-context/--no-intelligent-context",
    )
    scoring: bool = _field(
        True,
        "--no-intelligent-scoring: importance is position alone",
        env="HEADROOM_INTELLIGENT_SCORING",
        flag="--intelligent-scoring/--no-intelligent-scoring",
    )
    compress_first: bool = _field(
        True,
        "--no-compress-first: parts leave without being compressed harder first",
        env="HEADROOM_COMPRESS_FIRST",
        flag="--compress-first/--no-compress-first",
    )
    windows: Annotated[str, AfterValidator(_windows)] = _field(
        "",
        "tokens that models take, where the known ones are wrong or missing: `my-model=32000,llama-*=8000`, the first that matches counts",
        env="HEADROOM_CONTEXT_WINDOWS",
    )
    default_window: int = _field(128_000, "tokens that a model takes of which nothing is known", env="HEADROOM_DEFAULT_WINDOW", ge=1000)
    output_reserve: int = _field(
        4096, "tokens kept free for the answer when the request does not limit it", env="HEADROOM_OUTPUT_RESERVE", ge=1
    )
    reserve: float = _field(
        0.2, "share of the window that a cut leaves free, so that the next one is far away", env="HEADROOM_CONTEXT_RESERVE", ge=0, le=0.9
    )
    protect_turns: int = _field(4, "user turns at the end that stay whole where they fit", env="HEADROOM_PROTECT_TURNS", ge=1)

    @property
    def overrides(self) -> tuple[tuple[str, int], ...]:
        """(pattern of a model's name, tokens) in their order."""
        pairs = (item.partition("=") for item in self.windows.split(",") if item.strip())
        return tuple((pattern.strip(), int(tokens)) for pattern, _, tokens in pairs)


class StoreSettings(_Section):
    url: str = _field(
        "",
        "where state is kept: sqlite:///PATH for one machine, redis:// or rediss:// for several; empty: the SQLite file of `store.path`",
        env="HEADROOM_STORE_URL",
        flag="--store-url",
        pattern=r"^($|sqlite:///.|rediss?://.|unix://.)",
        repr=False,
    )
    path: UserPath | None = _field(
        None, "SQLite file of the reversible store (default: store.sqlite in the home directory)", env="HEADROOM_STORE_PATH"
    )
    ttl_hours: float = _field(24.0, "idle lifetime of an original; every use renews it", env="HEADROOM_STORE_TTL_HOURS", gt=0)
    max_mb: int = _field(2048, "size of the store; above it the least recently used originals go", env="HEADROOM_STORE_MAX_MB", ge=1)

    encryption_key: Variable = _field(
        "HEADROOM_STORE_KEY",
        "variable that holds 32 bytes as hex or base64: what is stored is then encrypted (AES-GCM)",
        env="HEADROOM_STORE_ENCRYPTION_KEY",
    )
    blobs_url: str = _field(
        "",
        "file:// or s3:// URL for originals that are still large; empty: in the store",
        env="HEADROOM_STORE_BLOBS_URL",
        repr=False,
    )
    blobs_above_kb: int = _field(256, "originals of more kilobytes go there", env="HEADROOM_STORE_BLOBS_ABOVE_KB", ge=0)

    @property
    def is_redis(self) -> bool:
        return bool(self.url) and not self.url.startswith("sqlite:")


class CacheSettings(_Section):
    enabled: bool = _field(
        True, "--no-cache: no request is answered with an earlier answer", env="HEADROOM_CACHE", flag="--cache/--no-cache"
    )
    sampled: bool = _field(
        False,
        "whether requests that are sampled (neither a temperature of 0 nor a seed) are answered from the cache too; "
        "without it one that is sent again gets a new answer",
        env="HEADROOM_CACHE_SAMPLED",
    )
    single_flight: bool = _field(
        True,
        "whether a request that takes part, streams nothing and has no tools waits for the answer to an equal one that is on its way",
        env="HEADROOM_CACHE_SINGLE_FLIGHT",
    )
    ttl_s: float = _field(3600.0, "seconds for which an answer is given again", env="HEADROOM_CACHE_TTL_S", gt=0)
    max_mb: int = _field(256, "size of all cached answers; above it the oldest go", env="HEADROOM_CACHE_MAX_MB", ge=1)


class UpstreamSettings(_Section):
    anthropic_api_url: ApiUrl = _field(
        "https://api.anthropic.com",
        "where Anthropic requests go",
        env="ANTHROPIC_TARGET_API_URL",
        flag="--anthropic-api-url",
    )
    openai_api_url: ApiUrl = _field(
        "https://api.openai.com", "where OpenAI requests go", env="OPENAI_TARGET_API_URL", flag="--openai-api-url"
    )
    connect_timeout_s: float = _field(10.0, "seconds to reach the provider", env="HEADROOM_CONNECT_TIMEOUT_S", gt=0)
    idle_timeout_s: float = _field(600.0, "seconds of silence from the provider before giving up", env="HEADROOM_IDLE_TIMEOUT_S", gt=0)


class AccessSettings(_Section):
    callers: Literal["auto", "open", "credential", "keys"] = _field(
        "auto",
        "open: one owner of everything; credential: each provider credential reads only its own originals; keys: a key of "
        "`headroom keys` (or a token) is wanted; auto: keys where `limits.keys` or "
        "`access.jwt_keys` is given, else open on loopback, credential elsewhere",
        env="HEADROOM_CALLERS",
        flag="--callers",
    )
    admin_key: str = _field(
        "",
        "key for operators: /stats and /metrics where callers are told apart, and the keys of callers",
        env="HEADROOM_ADMIN_KEY",
        repr=False,
    )
    jwt_keys: str = _field("", "URL or file of the identity provider's keys (JWKS): its tokens do instead of keys", env="HEADROOM_JWT_KEYS")
    jwt_issuer: str = _field("", "issuer that a token must name", env="HEADROOM_JWT_ISSUER")
    jwt_audience: str = _field("", "audience that a token must name", env="HEADROOM_JWT_AUDIENCE")
    jwt_user_claim: str = _field("sub", "claim of a token that says who", env="HEADROOM_JWT_USER_CLAIM", min_length=1)
    jwt_team_claim: str = _field("team", "claim of a token that names a team", env="HEADROOM_JWT_TEAM_CLAIM", min_length=1)


class StatsSettings(_Section):
    url: str = _field(
        "",
        "folder of the ledger's Parquet files: a path, or s3://BUCKET/PREFIX (default: stats in the home directory)",
        env="HEADROOM_STATS_URL",
    )
    prices: UserPath | None = _field(
        None, "TOML or YAML file with prices of one's own, before those that come along", env="HEADROOM_PRICES"
    )
    savings_path: UserPath | None = _field(
        None, "file with what was saved (default: proxy_savings.json in the home directory)", env="HEADROOM_SAVINGS_PATH"
    )
    compact_s: float = _field(30.0, "seconds after which rows go from the journal to Parquet", env="HEADROOM_STATS_COMPACT_S", gt=0)
    retention_days: int = _field(
        90, "days that the rows of requests are kept; hours, days, weeks and months stay", env="HEADROOM_STATS_RETENTION_DAYS", ge=2
    )


class ClientSettings(_Section):
    """For commands that talk to a running Headroom, and where the tools they set up keep their files."""

    base_url: str = _field(
        "", "Headroom that commands and the MCP server talk to (default: the proxy on this machine)", env="HEADROOM_BASE_URL"
    )
    api_key: str = _field("", "credential they send to it", env="HEADROOM_API_KEY", repr=False)
    claude_config_dir: UserPath | None = _field(
        None, "directory of Claude Code's settings (default: ~/.claude, and ~/.claude.json beside it)", env="CLAUDE_CONFIG_DIR"
    )
    codex_home: UserPath | None = _field(None, "directory of Codex's settings (default: ~/.codex)", env="CODEX_HOME")


class LimitsSettings(_Section):
    rate_limit: bool = _field(
        True, "--no-rate-limit counts no requests and tokens a minute", env="HEADROOM_RATE_LIMIT", flag="--rate-limit/--no-rate-limit"
    )
    rpm: int = _field(600, "requests in any 60 seconds, per caller, over all processes", env="HEADROOM_RPM", flag="--rpm", ge=1)
    tpm: int | None = _field(None, "tokens in any 60 seconds, per caller; unlimited when empty", env="HEADROOM_TPM", flag="--tpm", ge=1)
    budget: float | None = _field(
        None, "dollars that all callers together may spend in a period", env="HEADROOM_BUDGET", flag="--budget", gt=0, allow_inf_nan=False
    )
    budget_period: Period = _field("daily", "when budgets begin anew (UTC)", env="HEADROOM_BUDGET_PERIOD", flag="--budget-period")
    rate_when_lost: Lost = _field(
        "open", "requests pass (open) or are refused (closed) while the store that counts them is lost", env="HEADROOM_RATE_WHEN_LOST"
    )
    budget_when_lost: Lost = _field(
        "open", "the same for budgets; what is spent meanwhile is counted when the store is back", env="HEADROOM_BUDGET_WHEN_LOST"
    )
    reserve_output_tokens: int = _field(
        4096, "output tokens that a request reserves of a budget, if it does not ask for fewer", env="HEADROOM_RESERVE_OUTPUT_TOKENS", ge=0
    )
    alert_webhook: str = _field(
        "",
        "URL that is told when 50, 80 and 100 % of a budget are spent",
        env="HEADROOM_ALERT_WEBHOOK",
        pattern=r"^($|https?://.)",
        repr=False,
    )
    keys: Annotated[Path | tuple[Grant, ...] | None, BeforeValidator(_structured)] = _field(
        None, "keys of callers by their hashes: a TOML file with `[[keys]]` and `[teams.NAME]`, or a list", env="HEADROOM_KEYS"
    )
    teams: Annotated[Path | dict[Name, Allowance] | None, BeforeValidator(_structured)] = _field(
        None, "allowances of teams: a TOML file with `[teams.NAME]`, or a mapping", env="HEADROOM_TEAMS"
    )
    anthropic_key: Variable = _field(
        "ANTHROPIC_API_KEY", "variable with the Anthropic credential for keys that name none", env="HEADROOM_ANTHROPIC_KEY"
    )
    openai_key: Variable = _field(
        "OPENAI_API_KEY", "variable with the OpenAI credential for keys that name none", env="HEADROOM_OPENAI_KEY"
    )


class Settings(_Section):
    """The whole tree. Frozen; build it with `load` or directly with keyword arguments."""

    host: str = _field("127.0.0.1", "address to listen on", env="HEADROOM_HOST", flag="--host")
    port: int = _field(8787, "port to listen on", env="HEADROOM_PORT", flag="--port", ge=0, le=65535)
    workers: int = _field(1, "server processes", env="HEADROOM_WORKERS", flag="--workers", ge=1, le=64)
    home: UserPath = _field(Path("~/.headroom"), "directory of Headroom's own files, owner-only", env="HEADROOM_HOME")
    optimize: bool = _field(True, "--no-optimize forwards everything untouched", env="HEADROOM_OPTIMIZE", flag="--optimize/--no-optimize")
    log_file: UserPath | None = _field(
        None, "JSONL file, one object per request, never a prompt", env="HEADROOM_LOG_FILE", flag="--log-file"
    )
    max_body_mb: int = _field(100, "largest request body, also after decompression", env="HEADROOM_MAX_BODY_MB", ge=1)
    vocabulary_dir: UserPath | None = _field(
        None, "directory with tiktoken's vocabularies, for machines without a network", env="TIKTOKEN_CACHE_DIR"
    )
    compression: CompressionSettings = CompressionSettings()
    context: ContextSettings = ContextSettings()
    scoring: ScoringSettings = ScoringSettings()
    store: StoreSettings = StoreSettings()
    cache: CacheSettings = CacheSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    access: AccessSettings = AccessSettings()
    limits: LimitsSettings = LimitsSettings()
    stats: StatsSettings = StatsSettings()
    client: ClientSettings = ClientSettings()

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


def fields() -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every leaf field with its path in the tree, in the order they are written above."""

    def walk(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
        for name, info in model.model_fields.items():
            kind = info.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from walk(kind, (*path, name))
            else:
                yield (*path, name), info

    return walk(Settings, ())


def extra(info: FieldInfo, key: Literal["env", "flag"]) -> str:
    """The environment variable or flag of a field, or an empty string."""
    known = info.json_schema_extra
    return str(known.get(key, "")) if isinstance(known, dict) else ""


def load(
    flags: Mapping[tuple[str, ...], Any] | None = None,
    env: Mapping[str, str] | None = None,
    config: Path | None = None,
    *,
    binds: bool = True,
) -> Settings:
    """Build the settings from flags (path in the tree -> value), the environment and a TOML file.

    `config` must exist when given; without it `config.toml` in the home directory is read if there
    is one. `binds` is False when another server listens (gunicorn): the default host says nothing
    then, and `callers: auto` means credential unless a host is set. Raises SettingsError naming the
    field, its source and what is allowed.
    """
    env = os.environ if env is None else env
    tree, sources = _read_toml(env, config)
    for path, info in fields():
        name = extra(info, "env")
        if name and env.get(name):
            _put(tree, path, env[name])
            sources[path] = name
        if flags and flags.get(path) is not None:
            _put(tree, path, flags[path])
            sources[path] = extra(info, "flag").split("/")[0] or ".".join(path)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as failure:
        raise SettingsError(_explain(failure, sources)) from None
    if binds or "host" in tree or settings.access.callers != "auto" or settings.callers == "keys":
        return settings
    return settings.model_copy(update={"access": settings.access.model_copy(update={"callers": "credential"})})


def _read_toml(env: Mapping[str, str], config: Path | None) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    try:
        file = config or Path(_user_path(env.get("HEADROOM_HOME") or "~/.headroom")) / "config.toml"
    except ValueError as failure:
        raise SettingsError(str(failure)) from None
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as failure:
        if config is None and isinstance(failure, FileNotFoundError):
            return {}, {}
        raise SettingsError(f"{file}: cannot be read ({failure.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise SettingsError(f"{file}: not valid TOML: {failure}") from None
    return tree, {(): str(file)}


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        branch = tree.setdefault(name, {})
        if not isinstance(branch, dict):
            return
        tree = branch
    tree[path[-1]] = value


def _explain(failure: ValidationError, sources: Mapping[tuple[str, ...], str]) -> str:
    lines = []
    for problem in failure.errors():
        path = tuple(str(part) for part in problem["loc"])
        source = sources.get(path) or sources.get((), "settings")
        lines.append(f"{source}: {'.'.join(path)}: {problem['msg']}")
    return "\n".join(lines)


def environment() -> dict[str, str]:
    """A copy of this process's environment, for a process that it starts."""
    return dict(os.environ)


def variable(name: str, env: Mapping[str, str] | None = None) -> str:
    """The value of a variable that a setting or a grant names, such as a provider's credential; empty when there is none."""
    return (os.environ if env is None else env).get(name, "") if name else ""


def export(settings: Settings) -> None:
    """Put the settings into this process's environment, so that the processes it starts `load` the same."""
    tree = settings.model_dump(mode="json")
    for path, info in fields():
        value: Any = tree
        for name in path:
            value = value[name]
        if (variable := extra(info, "env")) and value is not None:
            os.environ[variable] = json.dumps(value) if isinstance(value, list | dict) else str(value)
