"""The way out to providers: straight, or through the HTTP proxy that the environment names, as other programs go.

HTTPS_PROXY is for https URLs, HTTP_PROXY for http, ALL_PROXY for both, in small letters too, which come first; NO_PROXY names hosts and
domains that are reached straight. This machine itself always is. socks5:// is taken where the package socksio is installed.
"""

from __future__ import annotations

from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from headroom.errors import SettingsError

_HTTP, _SOCKS = ("http", "https"), ("socks5", "socks5h")


def loopback(url: str) -> bool:
    """Whether a URL names this machine itself, so that no HTTP proxy may stand between."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False  # no URL at all
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def egress_proxy(url: str) -> str:
    """The URL of the HTTP proxy on the way to a URL; empty where there is none. Raises SettingsError for one that cannot be used."""
    parts = urlsplit(url)
    named = getproxies()
    if loopback(url) or not named or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    kind = parts.scheme if named.get(parts.scheme) else "all"
    return _checked(f"{kind.upper()}_PROXY", named.get(kind, ""))


def _checked(variable: str, value: str) -> str:
    """A proxy's URL, of which it is not told what it holds: it may be a password."""
    if not value:
        return ""
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in (*_HTTP, *_SOCKS) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if usable and parts.scheme in _SOCKS and find_spec("socksio") is None:
        raise SettingsError(f"{variable}: a proxy of SOCKS needs a package: pip install socksio")
    if not usable:
        raise SettingsError(
            f"{variable}: a proxy is named as http://HOST:PORT here; correct it, unset it, or name the provider in NO_PROXY"
        )
    return url
