"""The collaborators of a server, built by its face and passed in."""

from __future__ import annotations

from dataclasses import dataclass

from headroom.proxy.compress import Compress
from headroom.proxy.replay import Replay
from headroom.proxy.upstream import Upstream
from headroom.settings import Settings
from headroom.stats.ledger import Ledger
from headroom.store import open_store
from headroom.store.threaded import ThreadedStore

_SALT = "caller-scope"


@dataclass(frozen=True, slots=True)
class Services:
    """`salt` keys the hashes that tell callers apart; it is the same in every process on one store."""

    settings: Settings
    compress: Compress
    store: ThreadedStore
    replay: Replay
    upstream: Upstream
    ledger: Ledger
    salt: bytes


def open_services(settings: Settings, compress: Compress) -> Services:
    """What the settings name, opened; raises StoreUnavailable."""
    store = open_store(settings)
    threaded = ThreadedStore(store)
    return Services(
        settings=settings,
        compress=compress,
        store=threaded,
        replay=Replay(threaded),
        upstream=Upstream(settings.upstream),
        ledger=Ledger(),
        salt=store.secret(_SALT),
    )
