"""Whether the ledger's total is the provider's invoice: mixed requests against a stand-in that bills them.

    python -m benchmarks.invoice                     # embedded, 2,000 requests
    python -m benchmarks.invoice --serve             # Ray Serve, two Ingress replicas

Requests are answered, streamed, refused by us, failed by the provider, cut off by their clients, answered from the cache, and
read back what was left out; some tell no usage. Prints both totals and their difference, which is to be below 0.1 %, and the
same by what a request was for.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from headroom.stats.export import outcomes
from headroom.stats.ledger import Query
from headroom.stats.places import Places
from tests.invoice import Invoice, Sent, mixed
from tests.provider import running
from tests.proxy.faces import embedded, settings_for, stats_of

ADMIN = {"authorization": "Bearer operators-only"}


@contextmanager
def deployed(provider: str, home: Path) -> Iterator[str]:
    import os

    from tests.serve.conftest import ENVIRONMENT
    from tests.serve.deployed import Deployed, cluster

    os.environ.update(ENVIRONMENT, HEADROOM_HOME=str(home))
    with cluster() as url:
        Deployed(url, home, provider).ensure()
        yield url


def by_kind(home: Path, sent: Sent, invoice: Invoice) -> Iterator[str]:
    billed, booked, methods = invoice.by_kind(), Counter[str](), Counter[tuple[str, str]]()
    for table in outcomes(Places(home / "stats", str(home / "stats")), Query()):
        for row in table.select(["event_id", "cost_nanousd", "cost_method"]).to_pylist():
            kind = sent.ids[row["event_id"]]
            booked[kind] += row["cost_nanousd"] / 1e9
            methods[kind, row["cost_method"]] += 1
    for kind in sent.kinds:
        how = ", ".join(f"{count} {method}" for (of, method), count in sorted(methods.items()) if of == kind)
        off = booked[kind] - billed[kind]
        share = f"{100 * off / billed[kind]:+.4f} %" if billed[kind] else "-"
        yield f"  {kind:8} invoice ${billed[kind]:.6f}, ledger ${booked[kind]:.6f}: {off:+.6f}, {share}  ({how})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--requests", type=int, default=2000)
    arguments = parser.parse_args()
    invoice = Invoice()
    with tempfile.TemporaryDirectory() as directory, running(invoice) as provider:
        home = Path(directory)
        settings = settings_for(provider, home, compression={"deadline_ms": 60_000})
        with deployed(provider, home) if arguments.serve else embedded(settings) as url:
            began = time.perf_counter()
            sent = mixed(url, arguments.requests)
            took = time.perf_counter() - began
            stats = stats_of(url, arguments.requests, ADMIN)
            httpx.get(f"{url}/stats", headers=ADMIN).raise_for_status()
            kinds = list(by_kind(home, sent, invoice))
    cost = stats["summary"]["cost"]
    off = cost["with_headroom_usd"] / invoice.dollars - 1
    face = "Ray Serve" if arguments.serve else "embedded"
    print(
        f"{face}: {arguments.requests} requests in {took:.0f} s: {dict(sent.kinds)}, statuses {dict(sent.statuses)}, {sent.cached} cached"
    )
    print(f"billed {cost['billed_requests']}, estimated {cost['estimated_requests']}, retrievals {stats['retrievals']['originals']}")
    print(f"invoice ${invoice.dollars:.6f} in {len(invoice.lines)} lines, ledger ${cost['with_headroom_usd']:.6f}: {100 * off:+.4f} %")
    for told in kinds:
        print(told)
    print("within 0.1 %" if abs(off) < 0.001 else "NOT WITHIN 0.1 %")


if __name__ == "__main__":
    main()
