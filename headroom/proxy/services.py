"""The collaborators of a server, built by its face and passed in."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from headroom.cache.exact import ExactCache
from headroom.cache.flights import Flights
from headroom.errors import SettingsError
from headroom.learning import Learning, open_learning
from headroom.proxy.admission import Admission
from headroom.proxy.compress import Compress
from headroom.proxy.counts import TokenCounts
from headroom.proxy.door import Door
from headroom.proxy.embed import Embed, NoEmbed
from headroom.proxy.held_out import HeldOut
from headroom.proxy.prune import NoPrune, Prune
from headroom.proxy.readings import Readings
from headroom.proxy.recorder import LogFile, Recorder, Statistics
from headroom.proxy.replay import Replay
from headroom.proxy.retrievals import Retrievals
from headroom.proxy.rollout import Rollout
from headroom.proxy.routing import Backends
from headroom.proxy.similar import LocalNeighbours, Neighbours, Similar
from headroom.proxy.tracing import Tracing, open_tracing
from headroom.proxy.upstream import Upstream
from headroom.settings import Settings
from headroom.stats.book import Book
from headroom.stats.journal import SYNC_S
from headroom.stats.places import Places
from headroom.stats.prices import Prices
from headroom.store import open_store
from headroom.store.threaded import ThreadedStore

ROWS_WAIT = "Until it can, rows wait in the journal on this machine."
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """One per process."""

    settings: Settings
    compress: Compress
    store: ThreadedStore
    replay: Replay
    rollout: Rollout
    upstream: Upstream
    backends: Backends
    recorder: Statistics
    admission: Admission
    answers: ExactCache
    holdout: HeldOut
    similar: Similar
    learning: Learning | None = None
    tracing: Tracing = field(default_factory=Tracing)
    embed: Embed = field(default_factory=NoEmbed)
    prune: Prune = field(default_factory=NoPrune)
    flights: Flights = field(default_factory=Flights)
    door: Door = field(default_factory=Door)
    counts: TokenCounts = field(default_factory=TokenCounts)
    readings: Readings = field(default_factory=Readings)
    retrievals: Retrievals = field(default_factory=Retrievals)


def open_services(
    settings: Settings,
    compress: Compress,
    embed: Embed | None = None,
    recorder: Statistics | None = None,
    prune: Prune | None = None,
    neighbours: Neighbours | None = None,
) -> Services:
    """What the settings name; no vectors without `embed`, the ledger of this machine without `recorder`, all words without `prune`,
    an index in this process without `neighbours`.

    Raises SettingsError.
    """
    store = open_store(settings)
    threaded = ThreadedStore(store)
    replay = Replay(threaded, renew_s=min(600.0, 36 * settings.store.ttl_hours))  # a hundredth of a lifetime
    embed = embed or NoEmbed()
    return Services(
        settings=settings,
        compress=compress,
        store=threaded,
        replay=replay,
        rollout=Rollout(settings, replay),
        upstream=Upstream(settings.upstream),
        backends=Backends(settings),
        recorder=recorder or open_recorder(settings),
        answers=ExactCache(threaded, settings.cache.ttl_s),
        holdout=HeldOut(threaded, settings.stats.holdout),
        learning=open_learning(store, settings),
        admission=Admission(settings, threaded),
        tracing=open_tracing(settings.tracing),
        embed=embed,
        prune=prune or NoPrune(),
        similar=Similar(settings, embed, threaded, neighbours or LocalNeighbours(settings, store)),
    )


def places_of(settings: Settings) -> Places:
    """Where the ledger of this machine is."""
    home = settings.home / "stats"
    return Places(home, settings.stats.url or str(home))


def open_book(settings: Settings, sync_s: float = 0.0) -> Book:
    """The ledger of this machine; rows are on its disk `sync_s` after they were written."""
    savings = settings.stats.savings_path or settings.home / "proxy_savings.json"
    return Book(places_of(settings), settings.stats.retention_days, savings, sync_s)


def open_log(settings: Settings) -> LogFile | None:
    """Raises SettingsError."""
    try:
        return LogFile(settings.log_file) if settings.log_file else None
    except OSError as failure:
        raise SettingsError(f"--log-file: {settings.log_file} cannot be written: {failure.strerror}.") from None


def open_own_book(settings: Settings, sync_s: float = 0.0) -> Book:
    """To be written to. Raises SettingsError when its folder is that of another home, or one that cannot be written."""
    book = open_book(settings, sync_s)
    if trouble := book.check():
        _log.warning("stats.url: %s. %s", trouble, ROWS_WAIT)
    return book


def open_recorder(settings: Settings) -> Recorder:
    """Raises SettingsError."""
    return Recorder(open_own_book(settings, SYNC_S), Prices(settings.stats.prices), open_log(settings), settings.stats.compact_s)
