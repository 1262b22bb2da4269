"""Settings: precedence, clear refusals, and a table of fields that is whole."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import ValidationError

from headroom.errors import SettingsError
from headroom.model import Policy
from headroom.settings import AccessSettings, Settings, StoreSettings, export, extra, fields, load, unread

ROOT = Path(__file__).parents[1]
# one allowed value per field that is not its default, as the environment would give it
OTHER: Mapping[tuple[str, ...], str] = {
    ("host",): "0.0.0.0",
    ("port",): "9000",
    ("workers",): "3",
    ("drain_s",): "60",
    ("home",): "/tmp/headroom",
    ("optimize",): "false",
    ("log_file",): "/tmp/requests.jsonl",
    ("policies",): "/tmp/policies.yaml",
    ("max_body_mb",): "7",
    ("vocabulary_dir",): "/tmp/vocabularies",
    ("compression", "fidelity"): "lossless",
    ("compression", "min_tokens"): "9",
    ("compression", "ccr"): "false",
    ("compression", "ccr_tokens"): "0",
    ("compression", "deadline_ms"): "50",
    ("compression", "processes"): "2",
    ("compression", "learn"): "false",
    ("context", "intelligent"): "false",
    ("context", "scoring"): "false",
    ("context", "compress_first"): "false",
    ("context", "windows"): "llama-*=8000",
    ("context", "default_window"): "32000",
    ("context", "output_reserve"): "1000",
    ("context", "reserve"): "0.5",
    ("context", "protect_turns"): "2",
    ("scoring", "model"): "off",
    ("scoring", "device"): "cpu",
    ("scoring", "engine"): "torch",
    ("scoring", "batch_size"): "8",
    ("scoring", "threads"): "2",
    ("scoring", "cache_entries"): "10",
    ("scoring", "download"): "true",
    ("llmlingua", "enabled"): "true",
    ("llmlingua", "model"): "/models/xlm-roberta-large",
    ("llmlingua", "device"): "cuda",
    ("llmlingua", "rate"): "0.6",
    ("llmlingua", "threshold"): "0.4",
    ("llmlingua", "min_tokens"): "500",
    ("llmlingua", "deadline_ms"): "150",
    ("llmlingua", "dtype"): "float32",
    ("llmlingua", "batch_tokens"): "2048",
    ("llmlingua", "threads"): "3",
    ("llmlingua", "memory_fraction"): "0.25",
    ("llmlingua", "sha256"): "ab" * 32,
    ("llmlingua", "download"): "true",
    ("store", "url"): "redis://127.0.0.1:6379/0",
    ("store", "encryption_key"): "OUR_STORE_KEY",
    ("store", "blobs_url"): "s3://bucket/prefix",
    ("store", "blobs_above_kb"): "64",
    ("store", "path"): "/tmp/store.sqlite",
    ("store", "ttl_hours"): "0.5",
    ("store", "max_mb"): "64",
    ("cache", "enabled"): "false",
    ("cache", "sampled"): "true",
    ("cache", "single_flight"): "false",
    ("cache", "ttl_s"): "60",
    ("cache", "semantic"): "false",
    ("cache", "threshold"): "0.9",
    ("cache", "lookup_ms"): "7",
    ("cache", "semantic_entries"): "500",
    ("cache", "semantic_mb"): "9",
    ("cache", "snapshot_dir"): "/tmp/snapshots",
    ("cache", "snapshot_every"): "5",
    ("cache", "max_mb"): "8",
    ("upstream", "anthropic_api_url"): "http://127.0.0.1:9001",
    ("upstream", "openai_api_url"): "http://127.0.0.1:9002",
    ("upstream", "connect_timeout_s"): "1.5",
    ("upstream", "idle_timeout_s"): "20",
    ("backends", "use"): "bedrock",
    ("backends", "region"): "eu-west-1",
    ("backends", "url"): "http://127.0.0.1:9003",
    ("backends", "key"): "OUR_CLOUD_KEY",
    ("backends", "speaks"): "chat,messages",
    ("backends", "project"): "our-project",
    ("backends", "api_version"): "2024-10-21",
    ("backends", "named"): '{"eu": {"kind": "bedrock", "region": "eu-west-1"}}',
    ("backends", "pools"): '{"both": {"eu": 2}}',
    ("backends", "routes"): '[{"to": "eu", "model": "claude-*"}]',
    ("access", "callers"): "credential",
    ("access", "admin_key"): "key",
    ("access", "jwt_keys"): "https://id.example/keys",
    ("access", "jwt_issuer"): "https://id.example",
    ("access", "jwt_audience"): "headroom",
    ("access", "jwt_user_claim"): "email",
    ("access", "jwt_team_claim"): "group",
    ("limits", "rate_limit"): "false",
    ("limits", "rpm"): "7",
    ("limits", "tpm"): "9000",
    ("limits", "budget"): "12.5",
    ("limits", "budget_period"): "hourly",
    ("limits", "rate_when_lost"): "closed",
    ("limits", "budget_when_lost"): "closed",
    ("limits", "reserve_output_tokens"): "100",
    ("limits", "alert_webhook"): "https://hooks.example/x",
    ("limits", "keys"): "/tmp/keys.toml",
    ("limits", "teams"): '{"data": {"budget_usd": 5}}',
    ("limits", "anthropic_key"): "TEAM_ANTHROPIC",
    ("limits", "openai_key"): "TEAM_OPENAI",
    ("stats", "url"): "s3://bucket/stats",
    ("stats", "prices"): "/tmp/prices.toml",
    ("stats", "savings_path"): "/tmp/savings.json",
    ("stats", "compact_s"): "5",
    ("stats", "retention_days"): "30",
    ("stats", "holdout"): "0.05",
    ("stats", "spool_mb"): "64",
    ("tracing", "endpoint"): "http://127.0.0.1:4318",
    ("tracing", "service"): "gateway",
    ("tracing", "sample"): "0.1",
    ("telemetry", "enabled"): "off",
    ("telemetry", "endpoint"): "https://metrics.example/headroom",
    ("client", "base_url"): "http://headroom.example",
    ("client", "api_key"): "hr-key",
    ("client", "claude_config_dir"): "/tmp/claude",
    ("client", "codex_home"): "/tmp/codex",
}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose home directory is empty."""
    return {"HEADROOM_HOME": str(tmp_path)}


def value(settings: Settings, path: tuple[str, ...]) -> Any:
    found: Any = settings
    for name in path:
        found = getattr(found, name)
    return found


def write(home: Mapping[str, str], text: str) -> Path:
    file = Path(home["HEADROOM_HOME"]) / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults(home: dict[str, str], tmp_path: Path) -> None:
    settings = load(env=home)
    assert settings == Settings(home=tmp_path)
    assert settings.store_path == tmp_path / "store.sqlite"
    assert settings.compression.policy == Policy("reversible", 150)


@pytest.mark.parametrize("path", [path for path, _ in fields()], ids=".".join)
def test_every_field_can_be_set_by_its_variable_and_its_flag(path: tuple[str, ...], home: dict[str, str]) -> None:
    info = dict(fields())[path]
    assert info.description
    assert extra(info, "env"), "every field has a variable"
    default = value(load(env=home), path)
    by_env = value(load(env={**home, extra(info, "env"): OTHER[path]}), path)
    by_flag = value(load({path: OTHER[path]}, env=home), path)
    assert by_env == by_flag != default


def test_variables_and_flags_are_unique() -> None:
    for key in ("env", "flag"):
        names = [name for _, info in fields() if (name := extra(info, key))]
        assert len(names) == len(set(names))


def test_every_field_is_read_somewhere() -> None:
    """A setting that no code outside of headroom/settings names does nothing."""
    files = [file for tree in ("headroom", "serve_app") for file in (ROOT / tree).rglob("*.py") if file.parent.name != "settings"]
    read = {
        node.attr for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Attribute)
    }
    by_property = {
        "path": "store_path",
        "callers": "open_access",
        "fidelity": "policy",
        "min_tokens": "policy",
        "home": "home",
        "windows": "overrides",
    }
    assert {path[-1] for path, _ in fields() if by_property.get(path[-1], path[-1]) not in read} == set()


def test_flag_over_environment_over_file_over_default(home: dict[str, str]) -> None:
    assert load(env=home).port == 8787
    write(home, "port = 1\nworkers = 2\n[compression]\nmin_tokens = 33\ndeadline_ms = 44\n")
    assert load(env=home).port == 1
    assert load(env={**home, "HEADROOM_PORT": "2"}).port == 2
    settings = load(
        {("port",): 3, ("workers",): None, ("optimize",): False}, env={**home, "HEADROOM_PORT": "2", "HEADROOM_MIN_TOKENS": "55"}
    )
    assert (settings.port, settings.workers, settings.optimize) == (3, 2, False)
    assert (settings.compression.min_tokens, settings.compression.deadline_ms) == (55, 44)


def test_an_empty_variable_is_no_variable(home: dict[str, str]) -> None:
    assert load(env={**home, "HEADROOM_PORT": ""}).port == 8787


@pytest.mark.parametrize("url", ["https://host", "https://host/", "https://host/v1", "https://host/v1/"])
def test_api_urls_lose_their_version(url: str, home: dict[str, str]) -> None:
    assert load(env={**home, "OPENAI_TARGET_API_URL": url}).upstream.openai_api_url == "https://host"


def test_paths_begin_at_the_users_home(home: dict[str, str]) -> None:
    assert load({("store", "path"): "~/x.sqlite"}, env=home).store_path == Path.home() / "x.sqlite"
    assert Settings().home == Path.home() / ".headroom"


@pytest.mark.parametrize(
    ("url", "path", "name"),
    [
        ("sqlite:///var/lib/s.sqlite", "/var/lib/s.sqlite", "/var/lib/s.sqlite"),
        ("sqlite:////var/lib/s.sqlite", "/var/lib/s.sqlite", "/var/lib/s.sqlite"),
        ("sqlite:///~/s.sqlite", f"{Path.home()}/s.sqlite", f"{Path.home()}/s.sqlite"),
        ("redis://ada:hunter2@host:1/2?x=y", None, "redis://host:1/2"),
        ("rediss://host", None, "rediss://host"),
    ],
)
def test_the_stores_url_names_a_file_or_a_server_and_hides_its_password(
    url: str, path: str | None, name: str, home: dict[str, str]
) -> None:
    settings = load(env={**home, "HEADROOM_STORE_URL": url})
    assert settings.store.is_redis is (path is None)
    assert settings.store_name == name
    assert path is None or settings.store_path == Path(path)
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("HEADROOM_PORT", "eighty"),
        ("HEADROOM_PORT", "70000"),
        ("HEADROOM_OPTIMIZE", "maybe"),
        ("HEADROOM_FIDELITY", "high"),
        ("HEADROOM_MIN_TOKENS", "0"),
        ("HEADROOM_STORE_URL", "postgres://host/db"),
        ("HEADROOM_STORE_URL", "sqlite:///"),
        ("HEADROOM_STORE_TTL_HOURS", "nan"),
        ("HEADROOM_STORE_TTL_HOURS", "-1"),
        ("OPENAI_TARGET_API_URL", "api.openai.com"),
        ("OPENAI_TARGET_API_URL", "file:///etc"),
        ("HEADROOM_HOME", "~no-such-user/x"),
    ],
)
def test_a_bad_variable_is_named(variable: str, given: str, home: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as failure:
        load(env={**home, variable: given})
    assert variable in failure.value.message
    assert failure.value.message.count(": ") == 1, "the place is told once"


def test_processes_that_are_started_load_the_same_settings(home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    names = {extra(info, "env"): OTHER[path] for path, info in fields() if extra(info, "env")}
    for given in (home, {**home, **names}, {**home, "HEADROOM_CACHE_SEMANTIC": "true"}):
        made = load({("port",): "9001"}, env=given).model_copy(update={"drain_s": 3})
        handed: dict[str, str] = {}
        monkeypatch.setattr("os.environ", handed)
        export(made)
        assert load(env=handed, binds=False) == made
        assert load(env=handed, binds=False).wants_vectors is made.wants_vectors


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, False),
        ({"HEADROOM_EMBED_MODEL": "sentence-transformers/all-MiniLM-L6-v2"}, True),
        ({"HEADROOM_EMBED_DEVICE": "cpu"}, True),
        ({"HEADROOM_CACHE_SEMANTIC": "true"}, True),
        ({"HEADROOM_CACHE_SEMANTIC": "false"}, False),
        ({"HEADROOM_CACHE_TTL_S": "9"}, False),
    ],
)
def test_an_embedding_model_is_wanted_by_whom_asks_for_it(given: dict[str, str], wanted: bool, home: dict[str, str]) -> None:
    assert load(env={**home, **given}).wants_vectors is wanted


def test_a_bad_flag_is_named(home: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"^--port: Input should be "):
        load({("port",): -1}, env={**home, "HEADROOM_PORT": "80"})


def test_a_url_that_is_none_is_told_how_they_begin(home: dict[str, str]) -> None:
    for variable, said in (
        ("OPENAI_TARGET_API_URL", "must begin with http:// or https://"),
        ("HEADROOM_STORE_URL", "must begin with sqlite:///, redis://, rediss:// or unix://"),
    ):
        with pytest.raises(SettingsError, match=f"^{variable}: {said}$"):
            load(env={**home, variable: "postgres://host/db"})


@pytest.mark.parametrize("password", ["sec/ret", "sec?ret", "sec#ret", "12/secret", "[secret"])
def test_a_password_that_breaks_its_url_is_not_told(password: str, home: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"^HEADROOM_STORE_URL: .*%2F %3F %23") as failure:
        load(env={**home, "HEADROOM_STORE_URL": f"redis://:{password}@host:6379/0"})
    assert "ret" not in failure.value.message
    told = load(env={**home, "HEADROOM_STORE_URL": f"redis://:{quote(password, safe='')}@host:6379/0"})
    assert told.store_name == "redis://host:6379/0"


def test_every_problem_is_told_at_once(home: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as failure:
        load({("port",): -1}, env={**home, "HEADROOM_WORKERS": "0"})
    assert len(failure.value.message.splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "prot: there is no such setting; did you mean port?"),
        ("fidelity = 'off'", "fidelity: there is no such setting; did you mean compression.fidelity?"),
        ("[compression]\nfast = true", "compression.fast: there is no such setting; `headroom proxy --help`"),
        ("[compresion]\nfidelity = 'off'", "compresion: there is no such setting; did you mean compression?"),
        ("compression = 3", "compression: "),
        ("home = 3", "home: "),
        ("port = ", "not valid TOML"),
        ("port = 'x'", "port: "),
    ],
)
def test_a_bad_file_is_named(text: str, said: str, home: dict[str, str]) -> None:
    file = write(home, text)
    env = {} if text.startswith("home") else home
    with pytest.raises(SettingsError) as failure:
        load(env=env, config=file)
    assert str(file) in failure.value.message
    assert said in failure.value.message


def test_a_file_that_is_asked_for_must_be_readable(home: dict[str, str], tmp_path: Path) -> None:
    for missing in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(SettingsError, match="cannot be read"):
            load(env=home, config=missing)
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load(env=home)
    (tmp_path / "config.toml").unlink()
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        load(env=home)


def test_settings_are_frozen_and_hide_the_key() -> None:
    settings = Settings(access=AccessSettings(admin_key="hunter2"))
    assert "hunter2" not in repr(settings)
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        StoreSettings(ttl=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("host", "callers", "open_to_all"),
    [
        ("127.0.0.1", "auto", True),
        ("localhost", "auto", True),
        ("::1", "auto", True),
        ("0.0.0.0", "auto", False),
        ("127.0.0.1", "credential", False),
        ("0.0.0.0", "open", True),
    ],
)
def test_who_is_told_apart(host: str, callers: str, open_to_all: bool, home: dict[str, str]) -> None:
    assert load({("host",): host, ("access", "callers"): callers}, env=home).open_access is open_to_all


def test_behind_another_server_auto_means_credential_unless_a_host_is_set(tmp_path: Path) -> None:
    env = {"HEADROOM_HOME": str(tmp_path)}
    assert load(env=env).open_access
    assert not load(env=env, binds=False).open_access
    assert load(env={**env, "HEADROOM_HOST": "127.0.0.1"}, binds=False).open_access
    assert load(env={**env, "HEADROOM_CALLERS": "open"}, binds=False).open_access


def test_variables_of_a_service_called_headroom_are_no_settings() -> None:
    given = {
        "HEADROOM_PORT": "tcp://10.96.0.7:8787",
        "HEADROOM_PORT_8787_TCP": "tcp://10.96.0.7:8787",
        "HEADROOM_PORT_8787_TCP_ADDR": "10.96.0.7",
        "HEADROOM_SERVICE_HOST": "10.96.0.7",
        "HEADROOM_SERVICE_PORT_HTTP": "8787",
        "OTEL_SERVICE_NAME": "gateway",
    }
    settings = load(env=given)
    assert (settings.port, settings.tracing.service) == (8787, "gateway")
    assert unread(settings, given) == []
    with pytest.raises(SettingsError, match="HEADROOM_PORT"):
        load(env={"HEADROOM_PORT": "tcp"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HEADROOM_FIDELTY", "HEADROOM_FIDELITY"),
        ("HEADROOM_ANTHROPIC_API_URL", "ANTHROPIC_TARGET_API_URL"),
        ("HEADROOM_CACHE_ENABLED", "HEADROOM_CACHE"),
        ("HEADROOM_WHATEVER_ELSE", ""),
    ],
)
def test_a_variable_that_is_no_setting_is_told(name: str, meant: str) -> None:
    assert unread(Settings(), {name: "1"}) == [f"no setting is called {name}" + (f"; did you mean {meant}?" if meant else "")]


def test_a_variable_that_a_setting_names_is_not() -> None:
    settings = Settings.model_validate({"backends": {"named": {"own": {"kind": "openai", "key": "HEADROOM_OWN_CREDENTIAL"}}}})
    assert unread(settings, {"HEADROOM_OWN_CREDENTIAL": "k", "HEADROOM_FIDELITY": "lossless", "OPENAI_TARGET_API_URL": "http://x"}) == []
