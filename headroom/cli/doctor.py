"""`headroom doctor`: what works, what does not, and how to mend it. Exit code 1 when something must be mended."""

from __future__ import annotations

import importlib.util
import socket
import ssl
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import click
import httpx
from rich.text import Text

from headroom import settings as settings_module
from headroom.cli.banner import address
from headroom.cli.lease import answers
from headroom.cli.options import load
from headroom.cli.remote import ask
from headroom.cli.routing import targets
from headroom.cli.terminal import console
from headroom.cli.vocabulary import NAMES, fetch, missing
from headroom.errors import ModelUnavailable, SettingsError, StoreUnavailable
from headroom.settings import Settings, environment
from headroom.settings.egress import egress_proxy, loopback
from headroom.settings.parts import shown_url

_LOOK_S = 0.3  # /health tells of the look before, and has the ledger looked at
_MARKS = {"ok": ("ok", "green"), "note": ("--", "yellow"), "broken": ("!!", "bold red")}
# what needs it -> (extra to install, modules it must find)
_PACKAGES = {
    "headroom proxy": ("proxy", ("fastapi", "uvicorn", "httpx", "prometheus_client", "pyarrow", "brotli")),
    "headroom serve": ("serve", ("ray.serve", "yaml")),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `mend` says what to do about it and is empty when there is nothing to do."""

    about: str
    state: Literal["ok", "note", "broken"]
    detail: str
    mend: str = ""


@click.command("doctor")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file  [~/.headroom/config.toml]")
@click.option("--offline", is_flag=True, help="Do not try to reach the providers.")
@click.option("--fetch", "fetching", is_flag=True, help="First download the vocabularies that are missing.")
def command(config: Path | None, offline: bool, fetching: bool) -> None:
    """Check this installation, line by line, and say how to mend what does not work."""
    if fetching:
        directory = load(config).vocabulary_dir
        fetch(missing(directory), directory)
    broken = False
    for finding in findings(config, offline):
        console().print(shown(finding), end="")
        broken = broken or finding.state == "broken"
    if broken:
        click.get_current_context().exit(1)


def shown(finding: Finding) -> Text:
    """A finding as the terminal shows it, its remedy on a line of its own."""
    mark, style = _MARKS[finding.state]
    text = Text()
    text.append(f"{mark}  ", style=style)
    text.append(f"{finding.about:<12} {finding.detail}\n")
    if finding.mend:
        text.append(f"{'':<16} -> {finding.mend}\n", style="cyan")
    return text


def findings(config: Path | None = None, offline: bool = False) -> Iterator[Finding]:
    """Every check, one after the other, as each is done."""
    yield python()
    yield from packages()
    try:
        settings = load(config)
    except SettingsError as failure:
        yield Finding("settings", "broken", failure.message.replace("\n", "; "), "correct or remove it")
        return
    yield Finding("settings", "ok", sources(config, settings))
    for said in settings_module.unread(settings):
        yield Finding("environment", "note", said)
    yield from policies(settings)
    yield vocabulary(settings)
    yield embeddings(settings)
    yield llmlingua(settings)
    yield store(settings)
    complete = not lacking("headroom proxy")
    if complete:
        yield from statistics(settings)
        yield from backends(settings, offline)
    yield port(settings)
    yield from routing(settings)
    if complete and not offline:
        yield from providers(settings)
    yield access(settings)


def python() -> Finding:
    running = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", "ok", f"{running} at {sys.executable}; headroom {version('headroom')}")


def packages() -> Iterator[Finding]:
    for purpose, (extra, _) in _PACKAGES.items():
        absent = lacking(purpose)
        if not absent:
            yield Finding("packages", "ok", f"everything for `{purpose}`")
        else:
            detail = f"`{purpose}` needs {', '.join(absent)}"
            yield Finding("packages", "broken" if extra == "proxy" else "note", detail, f"pip install 'headroom[{extra}]'")


def lacking(purpose: str) -> list[str]:
    """The modules that what needs them would not find."""
    return [name for name in _PACKAGES[purpose][1] if not _installed(name)]


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def sources(config: Path | None, settings: Settings) -> str:
    """Where the settings come from."""
    file = config or settings.home / "config.toml"
    plain = Settings()
    changed = sum(1 for path, _ in settings_module.fields() if _value(settings, path) != _value(plain, path))
    where = str(file) if file.is_file() else f"no {file}"
    return f"{where}; not the default: {changed}" if changed else f"{where}; all defaults"


def _value(settings: Settings, path: tuple[str, ...]) -> Any:
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    return value


def policies(settings: Settings) -> Iterator[Finding]:
    """Whether the file of policies, if there is one, would be taken."""
    from headroom.policies import parsed

    if settings.policies is None:
        return
    try:
        found = parsed(settings.policies.read_bytes(), str(settings.policies))
    except SettingsError as failure:
        yield Finding("policies", "broken", failure.message, "a running Headroom keeps those before it, a new one does not start")
    except OSError as failure:
        yield Finding("policies", "broken", f"{settings.policies}: cannot be read ({failure.strerror})", "HEADROOM_POLICIES")
    else:
        yield Finding("policies", "ok", f"{settings.policies}: version {found.digest}, rules: {len(found.rules)}")


def vocabulary(settings: Settings) -> Finding:
    """Whether tokens are counted or estimated."""
    absent = missing(settings.vocabulary_dir)
    if not absent:
        return Finding("tokens", "ok", f"counted exactly ({', '.join(NAMES)})")
    mend = "`headroom doctor --fetch` on a machine with a network, or set TIKTOKEN_CACHE_DIR"
    return Finding("tokens", "note", f"estimated: no vocabulary {', '.join(absent)} on this machine", mend)


def embeddings(settings: Settings) -> Finding:
    """Whether texts can be compared by meaning, or by their words alone."""
    from headroom.scoring.embedding import check, onnx_file

    scoring = settings.scoring
    if not scoring.enabled:
        return Finding("embeddings", "ok", "off; texts are compared by their words")
    try:
        check(scoring.spec)
        file = onnx_file(scoring.spec)
    except ModelUnavailable as failure:
        detail, _, mend = failure.message.partition(": ")
        return Finding("embeddings", "note", f"{detail}; texts are compared by their words", mend)
    return Finding("embeddings", "ok", f"{scoring.model}, {file.name if file else 'torch'}")


def llmlingua(settings: Settings) -> Finding:
    """Whether words can be left out of prose, and from which size of a text on that pays."""
    from headroom.compressors.llmlingua.classifier import check, family
    from headroom.compressors.llmlingua.worth import window

    lingua = settings.llmlingua
    if not lingua.enabled:
        return Finding("llmlingua", "ok", "off; no words are left out of prose (--llmlingua)")
    try:
        check(lingua.spec)
    except ModelUnavailable as failure:
        detail, _, mend = failure.message.partition(": ")
        return Finding("llmlingua", "broken", detail, mend)
    sizes = window(lingua.device, family(lingua.model), lingua.rate, lingua.deadline_ms)
    return Finding("llmlingua", "ok", f"{lingua.model}, rate {lingua.rate:g}; {sizes}")


def store(settings: Settings) -> Finding:
    """Whether something can be stored, read back and removed, and whether it would survive."""
    from headroom.store import open_store

    key, value = uuid.uuid4().hex, b"headroom doctor"
    name = settings.store_name
    try:
        opened = open_store(settings)
        try:
            opened.swap_record("doctor", key, None, value)
            same = opened.get_record("doctor", key) == value
            opened.swap_record("doctor", key, value, None)
            entries = opened.blob_stats().entries
            warnings = opened.warnings()
        finally:
            opened.close()
    except SettingsError as failure:
        return Finding("store", "broken", failure.message, "or empty HEADROOM_STORE_URL")
    except StoreUnavailable as failure:
        mend = "the server and HEADROOM_STORE_URL" if settings.store.is_redis else "free space and permissions, or HEADROOM_STORE_PATH"
        return Finding("store", "broken", failure.message if name in failure.message else f"{name}: {failure.message}", mend)
    if not same:
        return Finding("store", "broken", f"{name}: read back something else", "move the file away; a new one is made")
    detail = f"{name} written and read back; originals: {entries}"
    return Finding("store", "note" if warnings else "ok", "; ".join((detail, *warnings)), "redis.conf" if warnings else "")


def statistics(settings: Settings) -> Iterator[Finding]:
    """Whether the folder of the ledger can be written, where it is not at home."""
    if not settings.stats.url or not _installed("pyarrow"):
        return
    from headroom.proxy.services import ROWS_WAIT, places_of
    from headroom.stats import owner

    places = places_of(settings)
    if not places.elsewhere:
        return
    try:
        trouble = owner.check(places)
    except SettingsError as failure:
        yield Finding("statistics", "broken", failure.message, "`headroom proxy` does not start until then")
        return
    if trouble:
        yield Finding("statistics", "broken", f"{trouble}. {ROWS_WAIT}", "the network, its credentials, and HEADROOM_STATS_URL")
    else:
        yield Finding("statistics", "ok", f"{shown_url(settings.stats.url)} can be written")


def backends(settings: Settings, offline: bool) -> Iterator[Finding]:
    """Each backend of the settings: whether it is complete, and with whose credential it is asked."""
    from headroom.backends import open_backend
    from headroom.backends.base import described
    from headroom.backends.translation import EXTRA, installed
    from headroom.proxy.routing import Backends, specs

    chosen, broken = settings.backends, False
    if not (chosen.use or chosen.named):
        return
    if offline:
        names = ", ".join(specs(settings))
        yield Finding("backends", "note", f"{names or chosen.use}; not looked at: finding a credential may ask the network (--offline)")
        return
    for name, spec in specs(settings).items():
        try:
            yield Finding("backend", "ok", described(open_backend(name, spec)))
        except SettingsError as failure:
            broken = True
            yield Finding("backend", "broken", failure.message, "`headroom proxy` does not start until then")
    try:
        if not broken:
            Backends(settings)
    except SettingsError as failure:
        yield Finding("backends", "broken", failure.message, "`headroom proxy` does not start until then")
    words = "LiteLLM, where a backend does not speak the client's API" if installed() else f"none: such calls are refused ({EXTRA})"
    yield Finding("translation", "ok", words)


def port(settings: Settings) -> Finding:
    """Whether the port is free, and who has it if not."""
    url = address(settings)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((settings.host, settings.port))
            return Finding("port", "ok", f"{settings.port} is free; `headroom proxy` would listen at {url}")
        except OSError as failure:
            reason = failure.strerror or str(failure)
    try:
        health = ask(url, "/health", timeout_s=3)
        return Finding("port", "ok", f"Headroom {health.get('version', '')} answers at {url}")
    except click.ClickException:
        return Finding("port", "broken", f"{settings.host}:{settings.port}: {reason}", "HEADROOM_PORT or --port takes another one")


def routing(settings: Settings) -> Iterator[Finding]:
    """For each tool that is installed whether it goes through Headroom, and what that saved."""
    asked = {address(settings)}
    for target in targets(settings, environment()):
        base = target.url.rstrip("/").removesuffix("/v1")
        if not base:
            yield Finding(target.tool, "note", "goes to its provider", f"`headroom wrap {target.tool}`")
        elif answers(base):
            asked.add(base)
            yield Finding(target.tool, "ok", f"goes through Headroom at {target.url} ({target.source})")
        elif loopback(base):
            detail = f"{target.source} names {target.url}, where no Headroom answers"
            yield Finding(target.tool, "broken", detail, "`headroom proxy` starts one; or remove it there")
        else:
            yield Finding(target.tool, "note", f"goes to {target.url} ({target.source})", f"`headroom wrap {target.tool}`")
    for url in sorted(asked):
        if answers(url):
            time.sleep(_LOOK_S)
            stats = ask(url, "/health")["stats"]
            detail = f"{stats['tokens_saved']:,} tokens in {stats['total_requests']:,} requests ({stats['savings_percent']} %) at {url}"
            yield Finding("saved", "ok", detail)


def providers(settings: Settings) -> Iterator[Finding]:
    """Whether each is reached the way `headroom proxy` takes: by its certificates, and through its HTTP proxy."""
    from headroom.proxy.transport import certificates

    urls = {
        "anthropic": (settings.upstream.anthropic_api_url, "ANTHROPIC_TARGET_API_URL"),
        "openai": (settings.upstream.openai_api_url, "OPENAI_TARGET_API_URL"),
    }
    try:
        trusted = certificates()
        between = {name: egress_proxy(url) for name, (url, _) in urls.items()}
    except SettingsError as failure:
        yield Finding("providers", "broken", failure.message, "correct or unset it; `headroom proxy` does not start until then")
        return
    for name, (url, variable) in urls.items():
        yield provider(name, url, variable, trusted, between[name])


def provider(name: str, url: str, variable: str, trusted: ssl.SSLContext, proxy: str) -> Finding:
    """Whether a provider answers at all; any status will do, nothing is sent but HEAD /."""
    try:
        with httpx.Client(verify=trusted, trust_env=False, timeout=5, proxy=proxy or None) as client:
            status = client.head(url).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        return Finding(name, "note", f"{url} does not answer ({failure})", f"check the network, or set {variable}")
    return Finding(name, "ok", f"{url} answers ({status})")


def access(settings: Settings) -> Finding:
    """Who may read what."""
    if settings.open_access:
        if settings.access.callers == "auto":
            return Finding("access", "ok", "this machine only; one owner of everything")
        return Finding("access", "note", "open: whoever reaches the port reads every original", "HEADROOM_CALLERS=credential")
    if not settings.access.admin_key:
        return Finding("access", "note", "by credential; /stats and /metrics are closed", "set HEADROOM_ADMIN_KEY to open them")
    return Finding("access", "ok", "by credential; /stats and /metrics with the admin key")
