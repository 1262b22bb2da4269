"""Azure OpenAI: Chat Completions and Responses, over the v1 API, or with an `api_version` over deployments.

https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar
from urllib.parse import quote

from headroom.backends.base import CHAT, RESPONSES, Ask, Outgoing, Plain, from_query, said, secret, without_credentials
from headroom.errors import SettingsError, UpstreamUnreachable
from headroom.settings import variable

_SCOPE = "https://cognitiveservices.azure.com/.default"
_KEY = "AZURE_API_KEY"


class Azure(Plain):
    """The name of a model is that of its deployment; `models` maps others. The key is sent where there is one, else an Entra token."""

    kind: ClassVar[str] = "azure"
    foreign: ClassVar[bool] = True
    most: ClassVar[str] = "max_completion_tokens"
    takes: ClassVar[frozenset[str]] = frozenset((CHAT, RESPONSES, ""))

    def __post_init__(self) -> None:
        url = self.spec.url or variable("AZURE_API_BASE").strip()
        if not url.startswith(("https://", "http://")):
            raise SettingsError(f"backend {self.name}: AZURE_API_BASE is not set; it is like https://NAME.openai.azure.com")
        url = url.rstrip("/").removesuffix("/v1").removesuffix("/openai")
        self.spec = self.spec.model_copy(update={"url": url})
        super().__post_init__()
        self._key, self._entra = "", None
        if self.spec.key or variable(_KEY).strip():
            self._key = secret(self.name, self.spec.key or _KEY)
        else:
            self._entra = _entra(self.name)

    @property
    def credential(self) -> str:
        return "a token of Entra" if self._entra else self.spec.key or _KEY

    def billed(self, name: str) -> str:
        return name  # a deployment may be called anything

    def outgoing(self, ask: Ask) -> Outgoing:
        self.check(ask)
        version = self.spec.api_version
        query = from_query(ask.query, b"api-version")
        rest = ask.path.removeprefix(b"/v1")
        if version:
            rest = b"/openai" + self._deployment(ask) + rest
            query = b"&".join(part for part in (query, b"api-version=" + version.encode()) if part)
        else:
            rest = b"/openai/v1" + rest
        target = self.root + rest + (b"?" + query if query else b"")
        return Outgoing(self.base, ask.method, target, without_credentials(ask.headers), self.renamed(ask))

    def _deployment(self, ask: Ask) -> bytes:
        """Only chat has its deployment in the path; Responses has it in the body."""
        return b"/deployments/" + quote(self.model(ask.model), safe="").encode() if ask.dialect == CHAT else b""

    def sign(self, out: Outgoing) -> Outgoing:
        if self._entra is None:
            return dataclasses.replace(out, headers=[*out.headers, (b"api-key", self._key.encode())])
        token = _token(self._entra, self.name)
        return dataclasses.replace(out, headers=[*out.headers, (b"authorization", b"Bearer " + token.encode())])

    def message(self, body: bytes) -> str | None:
        """Its gateway has errors of its own: `{"statusCode", "message"}`, `{"error": {"code", "message"}}` without a type."""
        found = said(body)
        error = found.get("error")
        if isinstance(error, dict) and error.get("type"):
            return None
        return str((error if isinstance(error, dict) else found).get("message") or "")


def _entra(name: str) -> Any:
    """Entra's default chain: environment, workload identity, managed identity, CLI. Raises SettingsError."""
    try:
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import DefaultAzureCredential
    except ModuleNotFoundError:
        raise SettingsError(
            f"backend {name}: {_KEY} is not set; put the key in it, or for Entra tokens: pip install 'headroom[azure]'"
        ) from None
    try:
        credential = DefaultAzureCredential()
        credential.get_token(_SCOPE)
    except (ClientAuthenticationError, ValueError) as failure:  # the second: a variable of Entra's that says nothing known
        why = str(failure).partition("\n")[0]
        raise SettingsError(f"backend {name}: {_KEY} is not set, and Entra gives no token ({why}); set the key, or log in") from None
    return credential


def _token(credential: Any, name: str) -> str:
    from azure.core.exceptions import AzureError

    try:
        return str(credential.get_token(_SCOPE).token)
    except AzureError as failure:
        raise UpstreamUnreachable(f"backend {name}: Entra gives no token: {str(failure).partition(chr(10))[0]}") from failure
