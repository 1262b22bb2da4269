"""The parts that a setting is made of: its type, its default, its help, its environment variable and its flag."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def api_url(value: Any) -> Any:
    """`https://host/v1/` and `https://host` are the same base URL."""
    return value.rstrip("/").removesuffix("/v1").rstrip("/") if isinstance(value, str) else value


def user_path(value: Any) -> Any:
    try:
        return Path(value).expanduser() if isinstance(value, str | Path) else value
    except RuntimeError:
        raise ValueError(f"{value}: there is no home directory, set HEADROOM_HOME to a path") from None


def structured(value: Any) -> Any:
    """A list or mapping may be given as JSON, so that a variable can hold it; any other text is a path."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        return json.loads(value)
    return user_path(value) if isinstance(value, str) else value


def store_url(url: str) -> str:
    """As it is, if it can be taken apart. What is wrong with it is told without it, because it may hold a password."""
    try:
        parts = urlsplit(url)
        whole = parts.port != 0 and "@" not in parts.path + parts.query + parts.fragment
    except ValueError:
        whole = False
    if url.startswith("redis") and not whole:
        raise ValueError("that names no server; in a password / ? # [ ] @ are written %2F %3F %23 %5B %5D %40")
    return url


def shown_url(url: str) -> str:
    """A URL as people and logs may see it: without credentials and parameters; a path as it is."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:  # it is none
        return url.partition("://")[0] + "://..."
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


StoreUrl = Annotated[str, AfterValidator(store_url)]
ApiUrl = Annotated[str, Field(pattern=r"^https?://[^/\s]+"), BeforeValidator(api_url)]
UserPath = Annotated[Path, BeforeValidator(user_path)]


def field(default: Any, help: str, *, env: str = "", flag: str = "", **limits: Any) -> Any:
    return Field(default, description=help, json_schema_extra={"env": env, "flag": flag}, validate_default=True, **limits)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
