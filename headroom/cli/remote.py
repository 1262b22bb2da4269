"""Questions to a running Headroom over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import click
import httpx

from headroom.settings.egress import loopback


def _is_base(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def _client(url: str, timeout_s: float) -> httpx.Client:
    try:
        return httpx.Client(trust_env=not loopback(url), timeout=timeout_s)
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as failure:
        names = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE or SSL_CERT_DIR"
        raise click.ClickException(f"{names} is set to what cannot be used here ({failure})") from None


def ask(
    url: str,
    path: str,
    *,
    key: str = "",
    params: dict[str, str] | None = None,
    body: Any = None,
    method: str = "",
    timeout_s: float = 10.0,
    field: str = "",
) -> dict[str, Any]:
    """GET a JSON object that has this field, or POST `body` for one. Raises ClickException with what a person can do when there is none."""
    if not _is_base(url):
        raise click.ClickException(f"{url!r} is not a base URL: it begins with http:// or https://, like http://127.0.0.1:8787")
    if not (key.isascii() and key.isprintable()):
        raise click.ClickException("the key has characters that no HTTP header takes; give it as it was told, without anything around it")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    method = method or ("GET" if body is None else "POST")
    try:
        with _client(url, timeout_s) as client:
            response = client.request(method, url.rstrip("/") + path, params=params, headers=headers, json=body)
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        raise click.ClickException(
            f"no answer from {url} ({failure}); start it with `headroom proxy`, or name another with --url"
        ) from None
    except ValueError as failure:  # a lone surrogate, or a number that JSON has not
        raise click.ClickException(f"what was given cannot be sent ({failure}); give UTF-8 text and finite numbers") from None
    try:
        said = response.json()
    except ValueError:
        said = None
    if response.is_success and isinstance(said, dict) and (not field or field in said):
        return said
    error = said.get("error") if isinstance(said, dict) else None
    message = error.get("message") if isinstance(error, dict) else "this does not look like Headroom"
    raise click.ClickException(f"{url}{path} answered {response.status_code}: {message}")
