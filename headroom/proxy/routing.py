"""Which backend a call goes to, and how it gets there: the settings decide, a request never does.

A pool's members stand in for each other. A conversation always goes to the same one, so that the provider's prompt cache keeps
hitting: its place follows from a hash of how it began (weighted rendezvous hashing). Where that one
cannot be reached, throttles or fails before its answer begins, the next in the conversation's own order is asked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import httpx

from headroom.backends import Ask, Backend, Outgoing, open_backend
from headroom.backends.base import SPOKEN, unspoken
from headroom.backends.translation import EXTRA, Translated, installed, translated, way
from headroom.dialects import DIALECTS, Dialect
from headroom.errors import InvalidRequest, SettingsError, UpstreamUnreachable
from headroom.model import Call, Caller
from headroom.proxy.adapted import adapted, refused, turned
from headroom.proxy.admission import Admission
from headroom.proxy.relay import closed
from headroom.proxy.upstream import Upstream
from headroom.settings import BackendRoute, BackendSpec, BackendsSettings, Settings
from headroom.settings.backends import KINDS

_FAILING = frozenset((429, 500, 502, 503, 504, 529))  # of these another member may do better
_REDIRECTS = frozenset((301, 302, 303, 307, 308))  # a client that followed one would take its prompt with it
_DIRECT = ("anthropic", "openai")


@dataclass(frozen=True, slots=True)
class Target:
    """Where calls go: one backend, or several that stand in for each other, with their weights."""

    name: str
    members: tuple[tuple[Backend, float], ...]

    @property
    def address(self) -> str:
        """What tells answers of this target from those of another."""
        return f"{self.name} {' '.join(backend.base for backend, _ in self.members)}"

    def way(self, conversation: Callable[[], bytes]) -> Way:
        backends = tuple(backend for backend, _ in self.members)
        if len(backends) == 1:
            return Way(backends)
        began = conversation()
        return Way(tuple(sorted(backends, key=lambda one: self._rank(one, began))))

    def _rank(self, backend: Backend, conversation: bytes) -> tuple[bool, float]:
        """The lowest first: -ln(h) / weight, h being uniform (Thaler and Ravishankar 1998, weights as in Mosharaf and others)."""
        weight = next(weight for one, weight in self.members if one is backend)
        digest = hashlib.sha256(backend.name.encode() + b"\n" + conversation).digest()
        share = (int.from_bytes(digest[:8], "big") + 1) / (1 << 64)
        return weight == 0, -math.log(share) / (weight or 1.0)


@dataclass
class Way:
    """One request's way to a backend. `passed` are the members that failed before, with why; `translated` from which API to which."""

    members: tuple[Backend, ...]
    passed: list[tuple[str, str]] = field(default_factory=list)
    translated: str = ""

    @property
    def backend(self) -> Backend:
        """The one that is asked now, or answered."""
        return self.members[0]

    async def send(self, ask: Ask, dialect: Dialect, caller: Caller, admission: Admission, upstream: Upstream) -> httpx.Response:
        """The answer in the words of the client's API, its body unread; the caller closes it. Once one answered, it is asked again.

        Raises UpstreamUnreachable, InvalidRequest, Forbidden.
        """
        while True:
            try:
                response, translation = await _sent(self.backend, ask, caller, admission, upstream)
            except UpstreamUnreachable as failure:
                if len(self.members) == 1 or not isinstance(failure.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
                    raise  # what may have arrived is not sent twice
                self._next("unreachable")
                continue
            if response.status_code not in _FAILING or len(self.members) == 1:
                self.members, self.translated = self.members[:1], translation.mark if translation else ""
                return await answer(self.backend, ask, dialect, response, translation)
            self._next(f"http_{response.status_code}")
            await closed(response)

    def _next(self, why: str) -> None:
        self.passed.append((f"backend {self.backend.name}", why))
        self.members = self.members[1:]


async def _sent(
    backend: Backend, ask: Ask, caller: Caller, admission: Admission, upstream: Upstream
) -> tuple[httpx.Response, Translated | None]:
    if not backend.own:
        headers = admission.credentials(caller, backend.kind, ask)
        ask = ask if headers is ask.headers else dataclasses.replace(ask, headers=headers)
    out, translation = await asyncio.to_thread(_signed, backend, ask) if backend.own else _signed(backend, ask)
    return await upstream.send(out), translation


def _signed(backend: Backend, ask: Ask) -> tuple[Outgoing, Translated | None]:
    translation = translated(ask, backend)
    return backend.sign(backend.outgoing(translation.ask if translation else ask)), translation


async def answer(backend: Backend, ask: Ask, dialect: Dialect, response: httpx.Response, translation: Translated | None) -> httpx.Response:
    """The answer of a backend as one of the client's API. Raises UpstreamUnreachable for one that sends the client elsewhere."""
    if backend.own and response.status_code in _REDIRECTS:
        await closed(response)
        raise UpstreamUnreachable(
            f"The backend {backend.name} answered {response.status_code}, to ask elsewhere; that is not done. Set its own URL."
        )
    if response.status_code >= 400:
        return await refused(backend, dialect, response, translated=bool(translation)) if backend.foreign or translation else response
    reader = backend.reader(translation.ask if translation else ask, response.headers.get("content-type", ""))
    response = adapted(response, reader) if reader else response
    return await turned(response, translation) if translation else response


class Backends:
    """Everything the settings name, opened. Raises SettingsError for what is missing, naming what to set."""

    def __init__(self, settings: Settings) -> None:
        chosen = settings.backends
        upstream = settings.upstream
        urls = {"anthropic": upstream.anthropic_api_url, "openai": upstream.openai_api_url}
        self._direct = {name: _alone(name, BackendSpec(kind=name, url=urls[name])) for name in _DIRECT}
        self._targets = {name: _alone(name, spec) for name, spec in chosen.named.items()}
        for name, pool in chosen.pools.items():
            self._targets[name] = self._pool(name, pool)
        self._routes = [(rule, self.named(rule.to, settings)) for rule in chosen.routes]
        self._use = self.named(chosen.use, settings) if chosen.use else None
        _guarded(self.all(), settings)
        for rule, target in self._routes:
            _translatable(rule, target)

    @property
    def configured(self) -> bool:
        """Whether any call may go somewhere else than where its client's API is at home."""
        return bool(self._targets or self._routes)

    def all(self) -> Sequence[Target]:
        return [*self._targets.values(), *([self._use] if self._use else []), *(target for _, target in self._routes)]

    def opened(self) -> list[Backend]:
        """Every backend that a call may go to by the settings, each once."""
        return list({backend.name: backend for target in self.all() for backend, _ in target.members}.values())

    def named(self, name: str, settings: Settings) -> Target:
        """A backend or pool of the settings, or a kind with what the flags say. Raises SettingsError."""
        said = settings.backends
        direct = None if name == said.use and said.key else self._direct.get(name)
        if found := self._targets.get(name) or direct:
            return found
        if name in KINDS:
            self._targets[name] = _alone(name, _by_flags(name, said))
            return self._targets[name]
        known = ", ".join([*KINDS, *self._targets])
        raise SettingsError(f"backends: there is no backend or pool called {name}; there are {known}")

    def target(self, route: str, model: str, provider: str, asked: str = "", *, home: bool = True) -> Target:
        """Where a call goes. `provider` is whose API the client speaks, `asked` what a policy says.

        Raises InvalidRequest for a call that must not go `home`, to that provider, unless the settings say so, and they do not.
        """
        if asked:
            return self._targets.get(asked) or self._direct[asked]
        for rule, target in self._routes:
            if fnmatchcase(route, rule.route) and fnmatchcase(model, rule.model):
                return target
        if not home and self._use is None:
            raise InvalidRequest("This path is a cloud's, and no backend is set for it here: set --backend, or add a route.")
        return self._use or self._direct[provider]

    def _pool(self, name: str, pool: Mapping[str, float]) -> Target:
        unknown = [member for member in pool if member not in self._targets or len(self._targets[member].members) != 1]
        if unknown or not pool or not any(pool.values()):
            raise SettingsError(f"backends.pools.{name}: wants names of `backends.named` with weights, one of them above 0; not {unknown}")
        return Target(name, tuple((self._targets[member].members[0][0], weight) for member, weight in pool.items()))


def _alone(name: str, spec: BackendSpec) -> Target:
    return Target(name, ((open_backend(name, spec), 1.0),))


def _by_flags(kind: str, said: BackendsSettings) -> BackendSpec:
    names = ("url", "region", "project", "api_version", "key", "speaks")
    return BackendSpec.model_validate({"kind": kind, **{name: getattr(said, name) for name in names}})


def specs(settings: Settings) -> dict[str, BackendSpec]:
    """Every backend that the settings describe, by its name, whether complete or not."""
    said = settings.backends
    wanted = dict.fromkeys((said.use, *(rule.to for rule in said.routes)))
    by_flags = [name for name in wanted if name in KINDS and name not in said.named and (name not in _DIRECT or said.key)]
    return {**said.named, **{name: _by_flags(name, said) for name in by_flags}}


def _guarded(targets: Sequence[Target], settings: Settings) -> None:
    """Raises SettingsError where strangers could spend the server's credentials."""
    own = next((backend for target in targets for backend, _ in target.members if backend.own), None)
    if own is not None and settings.callers == "credential":
        raise SettingsError(
            f"backend {own.name}: it is paid with the server's credential, and off loopback any caller could use it. Give callers keys "
            "(`headroom keys`, access.callers: keys), or say access.callers: open if whoever reaches this address may"
        )


def _translatable(rule: BackendRoute, target: Target) -> None:
    """Raises SettingsError for a route whose calls its backend does not take and nobody here can translate."""
    dialect = DIALECTS.get(rule.route)
    for backend, _ in target.members if dialect else ():
        model = "" if set("*?[") & set(rule.model) else rule.model
        spoken = backend.spoken(model)
        if dialect is None or not backend.own or dialect.name in spoken:
            continue
        told = f"backends.routes: {unspoken(backend, SPOKEN[dialect.name], spoken)}"
        if not way(dialect.name, spoken):
            raise SettingsError(told)
        if not installed():
            raise SettingsError(f"{told} To have {rule.route} translated: pip install '{EXTRA}'")


def conversation_of(call: Call, caller: Caller) -> bytes:
    """How a conversation began: the same for all its turns."""
    body = call.body
    items = body.get("messages") or body.get("input") if isinstance(body, dict) else None
    first = items[0] if isinstance(items, list) and items else items
    start, end = getattr(first, "start", 0), getattr(first, "end", 0)
    return f"{caller.scope}\n{call.text[start:end]}".encode("utf-8", "surrogatepass")
