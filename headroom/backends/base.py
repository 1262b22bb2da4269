"""The seam between clouds and everything else: one Backend per cloud, chosen by the settings, never by a request.

A backend knows its address, the name a model has there, how a request is signed, and how its
answers become those of the client's own API. It opens no connection to send a request: what to send is a value (`Outgoing`),
what came back is fed to a `Reader`. What must hold:
- Scheme, host and port come from the settings. Of a request only the path's last part and the query are used.
- A credential of the client never reaches a cloud that has its own.
- What an API does not take is refused, never sent to somebody else.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from headroom.backends.paths import uses_a_model
from headroom.errors import HeadroomError, InvalidRequest, SettingsError
from headroom.settings import BackendSpec, variable

HeaderList = list[tuple[bytes, bytes]]
Body = bytes | AsyncIterator[bytes] | None
MESSAGES, CHAT, RESPONSES = "anthropic", "openai", "openai_responses"  # dialects by their names
COUNT = "count_tokens"  # of Anthropic Messages
SPOKEN = {MESSAGES: "Anthropic Messages", CHAT: "OpenAI Chat Completions", RESPONSES: "OpenAI Responses", COUNT: "token counts"}
_APIS = {"messages": (MESSAGES, COUNT), "chat": (CHAT,), "responses": (RESPONSES,)}  # as settings name them
CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"api-key", b"cookie", b"x-goog-api-key", b"x-goog-user-project"))


@dataclass(frozen=True, slots=True)
class Ask:
    """A request in the words of the client's API. `dialect` is one of those above, empty for a path that nobody reads here.

    `path` is the client's, percent-encoded; `query` has no question mark. `headers` are to be forwarded, names in lower case.
    """

    dialect: str
    method: str
    path: bytes
    query: bytes
    headers: HeaderList
    body: Body
    model: str = ""
    stream: bool = False

    @property
    def text(self) -> str:
        """The body of a request that is read. Raises InvalidRequest."""
        try:
            return self.body.decode() if isinstance(self.body, bytes) else ""
        except UnicodeDecodeError as failure:
            raise InvalidRequest(f"The request body is not UTF-8: {failure.reason} at byte {failure.start}.") from None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is sent: `base` is scheme, host and port; `target` the path and query as they stand in the request line."""

    base: str
    method: str
    target: bytes
    headers: HeaderList
    body: Body


class Broken(HeadroomError):
    """An answer that cannot be what the backend sent: the connection to the client is cut."""

    status = 502


class Reader(Protocol):
    """Makes an answer, piece by piece, one of the client's API."""

    content_type: str

    def feed(self, data: bytes) -> bytes:
        """Raises Broken."""

    def end(self) -> bytes:
        """What is left when the last byte came. Raises Broken."""


class Backend(Protocol):
    """`kind` is what statistics show and whose price list applies.

    `own` says that the credential is the server's, not the client's, `foreign` that errors are not in the words of the client's API,
    `most` what limits the length of an answer in its Chat Completions.
    """

    kind: ClassVar[str]
    foreign: ClassVar[bool]
    most: ClassVar[str]
    name: str
    base: str

    @property
    def own(self) -> bool: ...

    @property
    def credential(self) -> str:
        """Where the credential came from, in words for people; never the credential."""

    def spoken(self, model: str) -> frozenset[str]:
        """The APIs that it has for a model, by the names of dialects."""

    def model(self, name: str) -> str:
        """What a model is called there; a name that is qualified, or not known, stays."""

    def billed(self, name: str) -> str:
        """What the ledger and the price lists call it."""

    def outgoing(self, ask: Ask) -> Outgoing:
        """Address and body. Raises InvalidRequest for what this backend does not take."""

    def sign(self, out: Outgoing) -> Outgoing:
        """With the credential; may block when that is renewed. Raises UpstreamUnreachable when it cannot be."""

    def reader(self, ask: Ask, content_type: str) -> Reader | None:
        """For the answer to a request that succeeded; None where it is the client's API already."""

    def message(self, body: bytes) -> str | None:
        """What an error of this backend says, for the client's API to tell; None where the body is told as it is."""


@dataclass
class Plain:
    """What most backends have in common: a base address, a table of models, answers that are the client's API already."""

    kind: ClassVar[str] = ""
    foreign: ClassVar[bool] = False
    most: ClassVar[str] = "max_tokens"
    takes: ClassVar[frozenset[str]] = frozenset()

    name: str
    spec: BackendSpec
    models: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        url = urlsplit(self.spec.url)
        self.base = f"{url.scheme}://{url.netloc}"
        self.root = url.path.rstrip("/").encode()
        said = frozenset(name for api in self.spec.speaks for name in _APIS[api])
        if strange := [api for api in self.spec.speaks if not self.takes.issuperset(_APIS[api][:1])]:
            raise SettingsError(f"backend {self.name}: speaks {strange[0]}, which {self.kind} does not have")
        self._spoken = self.takes & (said | {""}) if said else self.takes

    @property
    def own(self) -> bool:
        return True

    @property
    def credential(self) -> str:
        return self.spec.key or "none"

    def spoken(self, model: str) -> frozenset[str]:
        return self._spoken

    def target(self, ask: Ask) -> bytes:
        """Behind the base URL what a client puts behind its own; `/v1` once."""
        path = self.root + ask.path.removeprefix(b"/v1") if self.root else ask.path
        return path + (b"?" + ask.query if ask.query else b"")

    def model(self, name: str) -> str:
        return self.spec.models.get(name) or self.models.get(name, name)

    def billed(self, name: str) -> str:
        return self.model(name)

    def sign(self, out: Outgoing) -> Outgoing:
        return out

    def reader(self, ask: Ask, content_type: str) -> Reader | None:
        return None

    def message(self, body: bytes) -> str | None:
        return None

    def check(self, ask: Ask) -> None:
        """Raises InvalidRequest for a dialect that is not spoken here, and for a method and path that use no model."""
        spoken = self.spoken(ask.model) if ask.dialect else self._spoken
        if ask.dialect not in spoken or not uses_a_model(ask.dialect, ask.method, ask.path):
            what = SPOKEN.get(ask.dialect) or f"{ask.method} {ask.path.decode('latin-1')[:200]}"
            raise InvalidRequest(unspoken(self, what, spoken))

    def renamed(self, ask: Ask) -> Body:
        """The body with the name that the model has here; the very bytes where that is the same."""
        if not ask.dialect or not isinstance(ask.body, bytes) or (name := self.model(ask.model)) == ask.model:
            return ask.body
        return changed(ask.text, put={"model": name}).encode()


def unspoken(backend: Backend | Plain, what: str, spoken: frozenset[str]) -> str:
    """That a backend does not take something, and what it takes."""
    known = " and ".join(words for name, words in SPOKEN.items() if name in spoken)
    return f"The backend {backend.name} ({backend.kind}) does not take {what}; it takes {known}."


def described(backend: Backend) -> str:
    """One line for people: what it is, where it is, and with whose credential it is asked."""
    name = backend.name if backend.name == backend.kind else f"{backend.name} ({backend.kind})"
    return f"{name} at {backend.base}; credential: {backend.credential}"


def secret(name: str, variable_name: str) -> str:
    """The credential in a variable. Raises SettingsError naming it."""
    if value := variable(variable_name).strip():
        return value
    raise SettingsError(f"backend {name}: {variable_name} is not set; put the credential in it, or name another variable as `key`")


def without_credentials(headers: HeaderList) -> HeaderList:
    """What a client sent less what could sign a request, or tell a cloud who the client is."""
    return [(name, value) for name, value in headers if name not in CREDENTIALS and not name.startswith(b"x-amz-")]


def said(body: bytes) -> dict[str, Any]:
    """The object that a JSON body holds, the first of a list; empty for any other body."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, dict) else {}


def from_query(query: bytes, *drop: bytes) -> bytes:
    """A query as it came, without some of its fields."""
    return b"&".join(part for part in query.split(b"&") if part and part.partition(b"=")[0] not in drop)


_DECODER = json.JSONDecoder(strict=False)


def members(text: str) -> list[tuple[str, int, int, Any]]:
    """The members of a JSON object in their order: name, where it starts, where its value ends, the value."""
    found: list[tuple[str, int, int, Any]] = []
    place = _blank(text, 0) + 1
    try:
        while text[place := _blank(text, place)] != "}":
            start = place
            name, place = _DECODER.raw_decode(text, place)
            place = _blank(text, place) + 1  # the colon
            value, place = _DECODER.raw_decode(text, _blank(text, place))
            found.append((name, start, place, value))
            place = _blank(text, place)
            place += text[place] == ","
    except (ValueError, IndexError, RecursionError) as failure:
        raise InvalidRequest(f"The request body is not a JSON object that can be sent to this backend: {type(failure).__name__}.") from None
    return found


def _blank(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\n\r":
        place += 1
    return place


def changed(text: str, put: Mapping[str, Any] | None = None, add: Mapping[str, Any] | None = None, drop: tuple[str, ...] = ()) -> str:
    """A JSON object with members set (`put`), set where they are missing (`add`) or left out; the others keep their characters."""
    put, there = dict(put or {}), members(text)
    names = {name for name, *_ in there}
    put |= {name: value for name, value in (add or {}).items() if name not in names}
    kept = [text[start:end] for name, start, end, _ in there if name not in put and name not in drop]
    new = [f"{json.dumps(name)}:{json.dumps(value, separators=(',', ':'))}" for name, value in put.items()]
    return "{" + ",".join([*new, *kept]) + "}"
