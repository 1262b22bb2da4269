"""Where calls are sent besides Anthropic's and OpenAI's own APIs: the clouds, by name, and which calls go to which."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from headroom.grants import Name, Variable
from headroom.settings.parts import Section, field, structured

Kind = Literal["anthropic", "openai", "azure", "bedrock", "openai_compatible", "openrouter", "vertex_ai"]
KINDS: tuple[str, ...] = get_args(Kind)
Called = Annotated[Name, Field(min_length=1)]
Url = Annotated[str, Field(pattern=r"^($|https?://[^/\s?#@]+(/[^\s?#]*)?$)")]
Api = Literal["messages", "chat", "responses"]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class _Hashed(Section):
    """Holds mappings, and is hashable all the same, as settings are."""

    def __hash__(self) -> int:
        return hash(self.model_dump_json())


class BackendSpec(_Hashed):
    """One backend. What is left empty comes from the cloud's own environment, or is not needed by this kind.

    `url` is the base address, without `/v1`; `key` names the variable that holds the credential; `models` maps names
    that clients use to names (deployments, inference profiles) of this backend, before the table that comes along.
    `speaks` are the APIs that its server really has, where those are not all that this kind can have.
    """

    kind: Kind
    url: Url = ""
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]*$", max_length=40)] = ""
    project: Annotated[str, Field(pattern=r"^[a-z0-9:.-]*$", max_length=100)] = ""
    profile: Annotated[str, Field(max_length=100)] = ""
    api_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]*$", max_length=40)] = ""
    key: Variable = ""
    speaks: tuple[Api, ...] = ()
    models: dict[str, Annotated[str, Field(min_length=1, max_length=500)]] = Field({}, max_length=1000)


class BackendRoute(Section):
    """Calls whose route and model fit these patterns go `to` a backend or pool; the first that fits counts."""

    to: Called
    route: str = "*"
    model: str = "*"


def _known(value: str) -> str:
    return value.replace("openai-compatible", "openai_compatible")


def _listed(value: Any) -> Any:
    """`chat,messages` in a variable is a list."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return structured(value)


class BackendsSettings(_Hashed):
    use: Annotated[Name, AfterValidator(_known)] = field(
        "",
        "where every call goes that no route says otherwise: anthropic, openai, azure, bedrock, openai_compatible, openrouter, "
        "vertex_ai, or a name of `named` or `pools`; empty: Anthropic's calls to Anthropic, OpenAI's to OpenAI",
        env="HEADROOM_BACKEND",
        flag="--backend",
    )
    region: str = field(
        "", "region of bedrock (default: that of the AWS environment) or vertex_ai", env="HEADROOM_REGION", flag="--region", max_length=40
    )
    url: Url = field(
        "",
        "base URL of the backend that --backend names: openai_compatible and azure need one, the others know theirs",
        env="HEADROOM_BACKEND_URL",
        flag="--backend-url",
    )
    key: Variable = field(
        "",
        "variable with its credential (default: AZURE_API_KEY, OPENROUTER_API_KEY; openai_compatible: none is sent)",
        env="HEADROOM_BACKEND_KEY",
    )
    speaks: Annotated[tuple[Api, ...], BeforeValidator(_listed)] = field(
        (),
        "APIs that its server really has, of messages, chat and responses (default: all that its kind can have); what a client speaks "
        "besides is translated (headroom[litellm])",
        env="HEADROOM_BACKEND_SPEAKS",
    )
    project: str = field("", "Google Cloud project of vertex_ai (default: that of the credentials)", env="HEADROOM_VERTEX_PROJECT")
    api_version: str = field(
        "", "api-version of azure, such as 2024-10-21; empty: its v1 API, which needs none", env="AZURE_API_VERSION", max_length=40
    )
    named: Annotated[dict[Called, BackendSpec], BeforeValidator(structured)] = field(
        {}, "backends by name: kind, url, region, project, profile, api_version, key, speaks, models", env="HEADROOM_BACKENDS"
    )
    pools: Annotated[dict[Called, dict[Called, Weight]], BeforeValidator(structured)] = field(
        {},
        "backends that stand in for each other, by name, each with its share of the conversations; 0: only when another fails",
        env="HEADROOM_BACKEND_POOLS",
    )
    routes: Annotated[tuple[BackendRoute, ...], BeforeValidator(structured)] = field(
        (), "which calls go to which of them: a list of `to`, `route`, `model`, the first that fits counts", env="HEADROOM_BACKEND_ROUTES"
    )

    @property
    def names(self) -> tuple[str, ...]:
        """What may be said where a backend is wanted, besides a kind that --backend names."""
        return tuple(dict.fromkeys(("anthropic", "openai", *self.named, *self.pools, *([self.use] if self.use else []))))
