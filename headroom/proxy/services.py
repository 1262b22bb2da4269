"""The collaborators of a server, built by its face and passed in."""

from __future__ import annotations

from dataclasses import dataclass, field

from headroom.cache.exact import ExactCache
from headroom.cache.flights import Flights
from headroom.errors import SettingsError
from headroom.learning import Learning, open_learning
from headroom.proxy.admission import Admission
from headroom.proxy.compress import Compress
from headroom.proxy.counts import TokenCounts
from headroom.proxy.embed import Embed, NoEmbed
from headroom.proxy.recorder import Recorder
from headroom.proxy.replay import Replay
from headroom.proxy.retrievals import Retrievals
from headroom.proxy.upstream import Upstream
from headroom.settings import Settings
from headroom.stats.ledger import Ledger
from headroom.store import open_store
from headroom.store.threaded import ThreadedStore


@dataclass(frozen=True, slots=True)
class Services:
    """One per process."""

    settings: Settings
    compress: Compress
    store: ThreadedStore
    replay: Replay
    upstream: Upstream
    ledger: Ledger
    recorder: Recorder
    admission: Admission
    answers: ExactCache
    learning: Learning | None = None
    embed: Embed = field(default_factory=NoEmbed)
    flights: Flights = field(default_factory=Flights)
    counts: TokenCounts = field(default_factory=TokenCounts)
    retrievals: Retrievals = field(default_factory=Retrievals)


def open_services(settings: Settings, compress: Compress, embed: Embed | None = None) -> Services:
    """What the settings name; no vectors without `embed`. Raises SettingsError."""
    store = open_store(settings)
    threaded = ThreadedStore(store)
    ledger = Ledger()
    return Services(
        settings=settings,
        compress=compress,
        store=threaded,
        replay=Replay(threaded, renew_s=min(600.0, 36 * settings.store.ttl_hours)),  # a hundredth of a lifetime
        upstream=Upstream(settings.upstream),
        ledger=ledger,
        recorder=_recorder(ledger, settings),
        answers=ExactCache(threaded, settings.cache.ttl_s),
        learning=open_learning(store, settings),
        admission=Admission(settings, threaded),
        embed=embed or NoEmbed(),
    )


def _recorder(ledger: Ledger, settings: Settings) -> Recorder:
    try:
        return Recorder(ledger, settings.log_file)
    except OSError as failure:
        raise SettingsError(f"--log-file: {settings.log_file} cannot be written: {failure.strerror}.") from None
