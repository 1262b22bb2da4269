"""What `headroom proxy` prints when it starts: where it listens and how to point clients at it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from rich.text import Text

from headroom import tokens
from headroom.settings import Settings, unread

_ANYWHERE = ("0.0.0.0", "::", "")


def address(settings: Settings) -> str:
    """The base URL a client on this machine uses."""
    host = "127.0.0.1" if settings.host in _ANYWHERE else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def clients(url: str) -> list[tuple[str, str]]:
    """Client and the words that point it at `url`."""
    return [
        ("Claude Code", f"ANTHROPIC_BASE_URL={url} claude"),
        ("Codex", f"codex -c openai_base_url={url}/v1"),
        ("Anthropic SDK", f'Anthropic(base_url="{url}")'),
        ("OpenAI SDK", f'OpenAI(base_url="{url}/v1")'),
    ]


def closed(settings: Settings) -> list[str]:
    """What callers may not do here, in words; empty on loopback."""
    if settings.open_access:
        local = settings.access.callers == "auto"
        return [] if local else ["Callers are not told apart (--callers open): whoever reaches this port reads every original."]
    operator = "need the admin key" if settings.access.admin_key else "are closed until HEADROOM_ADMIN_KEY is set"
    return [
        "Each provider credential reads back only the originals it stored itself.",
        f"/stats, /metrics and what the dashboard shows {operator}.",
    ]


def mode(settings: Settings) -> str:
    """What happens to requests here: `reversible; tokens counted exactly`."""
    if not settings.optimize or settings.compression.fidelity == "off":
        return "forwarding untouched"
    exact = tokens.is_exact("o200k_base", settings.vocabulary_dir)
    counting = "counted exactly" if exact else "estimated (headroom doctor says why)"
    return f"{settings.compression.fidelity}; tokens {counting}"


def banner(settings: Settings, backends: Sequence[str] = (), store_trouble: str = "") -> Text:
    """The whole text; `backends` are lines about those that the settings name, `store_trouble` is why the store does not answer."""
    url = address(settings)
    text = Text()
    text.append(f"\n  Headroom {version('headroom')}  ", style="bold")
    text.append(url, style="bold cyan")
    text.append(f"  {mode(settings)}\n\n", style="dim")
    for name, words in clients(url):
        text.append(f"  {name:<15}")
        text.append(f"{words}\n", style="green")
    text.append(f"\n  {'Dashboard':<15}")
    text.append(f"{url}/dashboard\n", style="green")
    text.append(f"  {'Statistics':<15}")
    text.append(f"headroom stats --url {url}\n", style="green")
    text.append(f"  {'Stop':<15}Ctrl-C\n")
    text.append("\n" if backends else "")
    for number, line in enumerate(backends):
        text.append(f"  {'' if number else 'Backends':<15}{line}\n")
    for line in (*closed(settings), *(f"Environment: {said}" for said in unread(settings))):
        text.append(f"\n  {line}", style="yellow")
    if store_trouble:
        told = f"The store does not answer, so what is new in a request goes out as it came until it does:\n  {store_trouble}"
        text.append(f"\n  {told}\n", style="bold yellow")
    return text
