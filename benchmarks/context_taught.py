"""What traffic would have taught before a conversation came, for `benchmarks.context`: the others, each seen some times before.

Every output of a tool that is long enough to be cut counts as cut, and as asked for again if it holds a string of its
conversation's `evidence`. Of the conversation itself nothing is known.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from benchmarks import corpus
from benchmarks.context_proxy import ROUTES
from benchmarks.visible import Shown
from headroom.dialects import DIALECTS
from headroom.scoring import toin
from headroom.scoring.toin import Snapshot

LEAST_CHARS = 600  # of an output that may be cut
TIMES = 10  # that each of the other conversations came before
Counts = Mapping[str, Counter[str]]


def taught(talks: Sequence[corpus.Conversation]) -> dict[str, Snapshot]:
    """By conversation, what the others taught."""
    each = {talk.id: _counts(talk) for talk in talks}
    total: dict[str, Counter[str]] = {}
    for counts in each.values():
        for signature, found in counts.items():
            total.setdefault(signature, Counter()).update(found)
    return {id: toin.snapshot({name: total[name] - own.get(name, Counter()) for name in total}) for id, own in each.items()}


def _counts(talk: corpus.Conversation) -> Counts:
    dialect = DIALECTS[ROUTES[talk.format]]
    found: dict[str, Counter[str]] = {}
    for segment in dialect.segments(dialect.read(json.dumps({"model": "m", "messages": talk.messages}).encode())):
        if segment.tool and len(segment.text) >= LEAST_CHARS and (signature := toin.signature(segment.tool, segment.text)):
            shown = Shown([segment.text])
            wanted = any(map(shown.holds, talk.evidence))
            found.setdefault(signature, Counter()).update({"cut": TIMES, "asked": TIMES * wanted})
    return found
