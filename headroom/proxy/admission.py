"""Who is asking, and may they: headers -> Caller, then the limits that the caller has.

With open access (loopback) everything belongs to one owner. Otherwise the owner is the keyed hash
of the provider credential, or of what a key of ours shares with (`credentials`); the credential itself is kept nowhere.
A key of ours never reaches a provider: the credential it stands for takes its place.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal
from urllib.parse import unquote

from starlette.datastructures import Headers

from headroom.backends import Ask
from headroom.backends.base import HeaderList
from headroom.backends.paths import COUNT_PATH, leads_elsewhere, names_more, uses_a_model
from headroom.dialects import wire
from headroom.errors import Forbidden, HeadroomError, StoreUnavailable, Unauthorized
from headroom.grants import Allowance, Grant
from headroom.limits import keys, teams
from headroom.limits.budget import Alert, Budget, Budgets, Reservation
from headroom.limits.finishing import Finishing
from headroom.limits.rate import Rate, Rates
from headroom.model import LOCAL, Call, Caller
from headroom.outcome import Usage
from headroom.proxy import credentials
from headroom.proxy.alerts import Alerts
from headroom.proxy.identity import Tokens
from headroom.settings import Settings, variable
from headroom.stats import prices
from headroom.store.threaded import ThreadedStore

ANONYMOUS = Caller("")
_SALT = "caller-scope"
_PAUSE_S = 5.0  # the store is not asked for the salt again before
_CHARS_PER_TOKEN = 3  # fewer than texts have, so that a reservation is rather too large
_ORGANISATION = "all"
READING = ("GET", "HEAD", "OPTIONS")
_log = logging.getLogger(__name__)


def known(caller: Caller) -> Caller:
    """Raises Unauthorized for a caller who gave no credential, StoreUnavailable when callers cannot be told apart just now."""
    if caller == ANONYMOUS:
        raise Unauthorized("Originals belong to the credential that stored them: send it as x-api-key or Authorization: Bearer.")
    if not caller.scope:
        raise StoreUnavailable("The store that tells callers apart is not available; try again.")
    return caller


def is_admin(headers: Headers, settings: Settings) -> bool:
    """Whether a credential is the admin key."""
    key = settings.access.admin_key.encode()
    return bool(key) and any(hmac.compare_digest(value.encode(), key) for _, value in credentials.given(headers))


def admit_operator(headers: Headers, settings: Settings, *, always: bool = False) -> None:
    """Operator routes are open on loopback, but `always` closed ones; elsewhere they want the admin key."""
    if settings.open_access and not always:
        return
    if not settings.access.admin_key:
        where = "" if always else " off loopback"
        raise Forbidden(f"Operator routes are closed{where}: set HEADROOM_ADMIN_KEY on the server and send it as a Bearer token.")
    if not is_admin(headers, settings):
        raise Unauthorized("Send the admin key (HEADROOM_ADMIN_KEY on the server) as Authorization: Bearer.")


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a request took from the limits of its caller; to be settled once when it is over."""

    provider: str
    model: str
    reservation: Reservation
    rates: tuple[Rate, ...] = ()
    tokens: int = 0
    dialect: str = ""


class Admission:
    """Tells callers apart and holds their limits; one per process. Raises SettingsError for key files that are none."""

    def __init__(self, settings: Settings, store: ThreadedStore) -> None:
        limits = settings.limits
        self._settings = settings
        self._store = store
        register = keys.register(limits)
        self._tokens = Tokens(settings.access)
        self._keyring = keys.Keyring(store, register.keys)
        self._teams = teams.Teams(store, register.teams)
        self._alerts = Alerts(limits.alert_webhook)
        self._prices = prices.Prices(settings.stats.prices)
        self._rates = Rates(store, limits.rate_when_lost)
        self._budgets = Budgets(store, limits.budget_when_lost, self._alert if limits.alert_webhook else None)
        self._tasks: set[asyncio.Task[None]] = set()
        self._admitting = Finishing()
        self._salt = b""
        self._asked = -math.inf

    async def start(self) -> None:
        """Learn what callers are told apart by; a store that is lost is asked again later."""
        if self._settings.callers != "open":
            await self._learn_salt()
        if self._settings.limits.budget or self._settings.callers == "keys":
            await asyncio.to_thread(self._prices.cost, "openai", "gpt-4o", Usage())  # loads the prices

    async def close(self) -> None:
        """Write down what is still to be settled."""
        await self._admitting.close()
        await self._rates.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._budgets.close()
        await self._alerts.close()

    async def identify(self, headers: Headers) -> Caller:
        """The owner of what this request stores and retrieves; ANONYMOUS without a credential.

        Raises Unauthorized for a key that is not good, or none where one is wanted.
        """
        found = credentials.given(headers)
        if key := credentials.own_key(headers, found):
            grant = await self._keyring.find(key)
            if grant is None:
                raise Unauthorized("This key is not known here, was revoked, or has expired. Ask the operator for a new one.")
            return await self._granted(grant)
        if token := next(filter(self._tokens.takes, credentials.tokens(headers, found)), ""):
            grant = await self._tokens.grant(token)
            return await self._granted(grant)
        rule = self._settings.callers
        if rule == "keys":
            raise Unauthorized("A key of this Headroom is wanted: send hr-... as Authorization: Bearer, x-api-key or x-headroom-api-key.")
        if rule == "open":
            return LOCAL
        owner = credentials.owner(found)
        return Caller(await self._scope(owner)) if owner else ANONYMOUS

    async def _granted(self, grant: Grant) -> Caller:
        return Caller(await self._scope(credentials.owner_by(grant)), grant, await self._teams.find(grant.team))

    async def enter(self, headers: Headers, path: str) -> Caller:
        """Identify the caller of a route and count the request. Raises Unauthorized, Forbidden, RateLimited."""
        if is_admin(headers, self._settings):
            raise Unauthorized("The admin key is for operator routes; it is not sent on to a provider.")
        caller = await self.identify(headers)
        grant = caller.grant
        if grant and leads_elsewhere(path):
            raise Forbidden("A path with . or .. in it is not passed on for a key.")
        if grant and grant.routes and not _allowed(path, grant.routes):
            raise Forbidden(f"This key may not use {path[:200]}; it may use {', '.join(grant.routes)}.")
        for rate in self._rates_of(caller, "requests"):
            await self._rates.take(rate, 1)
        return caller

    async def pass_on(self, headers: Headers, method: str, path: str, request_id: str) -> Caller:
        """The same for a request whose body nobody reads: what it costs is not counted, but a budget that is spent refuses it."""
        caller = await self.enter(headers, path)
        grant = caller.grant
        if grant and grant.models and method not in READING and path != COUNT_PATH:
            raise Forbidden(f"This key may use certain models only, and which one {path[:200]} would use is not known here.")
        if method not in READING:
            await self._budgets.reserve(request_id, self._budgets_of(caller), 0)
        return caller

    async def admit(self, caller: Caller, call: Call, provider: str, model: str, chars: int, request_id: str) -> Ticket:
        """Count the tokens and reserve the dollars of a call that `provider` bills as `model`.

        Whoever is cancelled meanwhile is not charged. Raises Forbidden, RateLimited, StoreUnavailable.
        """
        grant = caller.grant
        if grant and grant.models and (call.reason == "duplicate_keys" or not _allowed(call.model, grant.models)):
            raise Forbidden(f"This key may not use the model {call.model or '(not readable)'}; it may use {', '.join(grant.models)}.")
        rates, tokens, budgets = self._rates_of(caller, "tokens"), max(1, chars // 4), self._budgets_of(caller)
        reserved, limited = 0, any(budget.limit is not None for budget in budgets)
        if limited:
            usage = Usage(math.ceil(chars / _CHARS_PER_TOKEN), _max_tokens(call, self._settings.limits.reserve_output_tokens))
            reserved = self._prices.cost(provider, model, usage, dialect=call.dialect) or 0
        ticket = Ticket(provider, model, Reservation(request_id, ()), rates, tokens, call.dialect)
        taking = self._take(ticket, budgets, reserved)
        if not rates and not limited:  # nothing waits for the store
            return await taking
        return await self._admitting.run(taking, lambda late: self.settle(late, (), charged=False))

    async def _take(self, ticket: Ticket, budgets: Sequence[Budget], nano: int) -> Ticket:
        """The ticket with its tokens counted and its dollars reserved."""
        for rate in ticket.rates:
            await self._rates.take(rate, ticket.tokens)
        return replace(ticket, reservation=await self._budgets.reserve(ticket.reservation.request_id, budgets, nano))

    def settle(self, ticket: Ticket, billed: Sequence[Usage], *, charged: bool) -> None:
        """Count what a request really took; nobody waits. A `charged` one that says nothing of its usage costs what was reserved."""
        if ticket.reservation.charges or ticket.rates:
            self._later(self._settled(ticket, [usage for usage in billed if usage != Usage()], charged))

    async def _settled(self, ticket: Ticket, billed: Sequence[Usage], charged: bool) -> None:
        provider, model = ticket.provider, ticket.model
        costs = await asyncio.to_thread(
            lambda: [self._prices.cost(provider, model, usage, dialect=ticket.dialect) for usage in billed]
        )  # the first one loads the prices
        if None in costs:
            _log.info("request %s is not priced: the price of %s is not known", ticket.reservation.request_id, ticket.model[:100])
        nano = sum(filter(None, costs)) if billed else ticket.reservation.nano
        tokens = sum((usage.input_tokens or 0) + (usage.output_tokens or 0) for usage in billed) if billed else ticket.tokens
        await self._budgets.settle(ticket.reservation, nano if charged or billed else 0)
        counted = tokens if charged or billed else 0
        for rate in ticket.rates:
            try:
                await self._rates.correct(rate, counted - ticket.tokens)
            except StoreUnavailable as failure:
                _log.warning("tokens of request %s stay estimated: %s", ticket.reservation.request_id, failure.message)

    def credentials(self, caller: Caller, provider: str, ask: Ask) -> HeaderList:
        """The headers to forward: a key of ours in them gives way to the credential that it stands for. Raises Forbidden.

        With that, which is the server's, callers use models and what the routes of their key name.
        """
        headers = ask.headers
        if caller.grant is None:
            return headers
        kept = [(name, value) for name, value in headers if name not in credentials.CARRIERS or not self._is_ours(value)]
        name = _variable(caller.grant, provider, self._settings)
        secret = variable(name)
        if secret:
            _permitted(ask, caller.grant)
            kept = [(name, value) for name, value in kept if name not in credentials.CARRIERS]
            kept.append((b"x-api-key", secret.encode()) if provider == "anthropic" else (b"authorization", b"Bearer " + secret.encode()))
        elif len(kept) < len(headers) and not any(name in credentials.CARRIERS for name, _ in kept):
            raise Forbidden(f"The server has no credential of {provider} for this key. Ask the operator to set one.")
        return kept

    async def spent(self, grant: Grant) -> dict[str, float]:
        """Dollars spent or reserved in the current period by a key, its team and the organisation. Raises StoreUnavailable."""
        budgets = self._budgets_of(Caller("", grant, await self._teams.find(grant.team)))
        totals = await self._budgets.spent(budgets)
        return {budget.whose: prices.dollars(total) for budget, total in zip(budgets, totals, strict=True)}

    def _is_ours(self, value: bytes) -> bool:
        """Whether a credential header holds a key of ours, or a token of the identity provider."""
        given = credentials.last_word(value.decode("latin-1"))
        return given.startswith(keys.PREFIX) or self._tokens.takes(given)

    def _rates_of(self, caller: Caller, noun: Literal["requests", "tokens"]) -> tuple[Rate, ...]:
        limits, grant = self._settings.limits, caller.grant
        if not limits.rate_limit:
            return ()
        allowed, team = grant or Allowance(), caller.team or Allowance()
        own, shared = (allowed.tpm or limits.tpm, team.tpm) if noun == "tokens" else (allowed.rpm or limits.rpm, team.rpm)
        owner, whose = (f"key:{grant.hash}", "this key") if grant else (f"caller:{caller.scope}", "this caller")
        found = [Rate(owner, whose, noun, own)] if own else []
        if grant and shared:
            found.append(Rate(f"team:{grant.team}", f"team {grant.team}", noun, shared))
        return tuple(found)

    def _budgets_of(self, caller: Caller) -> list[Budget]:
        """What a request of this caller is charged to; nothing where no budget is set and no key is counted."""
        limits, grant = self._settings.limits, caller.grant
        organisation = Budget(_ORGANISATION, "all callers", _nano(limits.budget), limits.budget_period)
        if grant is None:
            return [organisation] if limits.budget else []
        found = [Budget(f"key:{grant.hash}", "this key", _nano(grant.budget_usd), grant.budget_period)]
        if grant.team:
            team = caller.team or Allowance()
            found.append(Budget(f"team:{grant.team}", f"team {grant.team}", _nano(team.budget_usd), team.budget_period))
        return [*found, organisation]

    async def _scope(self, owner: str) -> str:
        """A keyed hash, the same in every process on one store; empty while the store has not told the key."""
        if not self._salt:
            await self._learn_salt()
        return hmac.new(self._salt, owner.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32] if self._salt else ""

    async def _learn_salt(self) -> None:
        if time.monotonic() - self._asked < _PAUSE_S:
            return
        self._asked = time.monotonic()
        try:
            self._salt = await self._store.secret(_SALT)
        except StoreUnavailable as failure:
            _log.warning("callers cannot be told apart, so nothing is compressed for them: %s", failure.message)

    def _alert(self, alert: Alert) -> None:
        self._later(self._alerts.send(alert))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.error("a request could not be settled: %r", failure if isinstance(failure, HeadroomError) else type(failure).__name__)


def _variable(grant: Grant, provider: str, settings: Settings) -> str:
    if provider == "anthropic":
        return grant.anthropic_key or settings.limits.anthropic_key
    return grant.openai_key or settings.limits.openai_key if provider == "openai" else ""


def _permitted(ask: Ask, grant: Grant) -> None:
    """Raises Forbidden for a request that reaches more of the server's account than models, and is not named by the key's routes."""
    path = unquote(ask.path.decode("latin-1"))
    if uses_a_model(ask.dialect, ask.method, ask.path) or _allowed(path, tuple(filter(names_more, grant.routes))):
        return
    told = f"With the server's credential a key uses models; {ask.method} {path[:200]} is not passed on."
    if names_more(path):
        raise Forbidden(f"{told} An operator may open it by naming it in the key's `routes` (not by a wildcard alone).")
    raise Forbidden(f"{told} Ask the provider itself, with a credential of your own.")


def _allowed(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _nano(amount: float | None) -> int | None:
    return None if amount is None else prices.nano(amount)


def _max_tokens(call: Call, most: int) -> int:
    """What a call allows for its answer, at most `most`."""
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        value = call.body.get(name) if isinstance(call.body, dict) else None
        if isinstance(value, wire.Number) and value.isdigit():
            return min(int(value[:18]), most)
    return most
