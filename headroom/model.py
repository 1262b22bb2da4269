"""The nouns that pass between the steps of a request. Frozen values, no behaviour that does I/O.

A `Call` came in; a `Caller` sent it; its `Segment`s are the texts that may become smaller; a
`Compressed` is what one of them became; an `Outcome` (`headroom.outcome`) says what happened, once, at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Literal, TypeVar

from headroom.grants import Allowance, Grant

_T = TypeVar("_T")
Fidelity = Literal["lossless", "reversible", "off"]
HASH_CHARS = 16  # each costs tokens in every marker; the store refuses two texts under one hash


def _packed(kind: type[_T]) -> type[_T]:
    """Pickle this dataclass as what it is made from: with slots it would go through Python for every field, and a job has hundreds."""
    values = attrgetter(*(field.name for field in fields(kind)))  # type: ignore[arg-type]

    def reduced(self: _T) -> tuple[type[_T], tuple[Any, ...]]:
        return kind, values(self)

    kind.__reduce__ = reduced  # type: ignore[method-assign, assignment]
    return kind


def content_hash(text: str) -> str:
    """The address of an original: the first 16 hex digits (64 bits) of its SHA-256 over UTF-8, lone surrogates included."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_CHARS]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a call. `scope` separates what is stored: nobody reads another scope; without one nothing is stored.

    `grant` is what a key or token of ours allows, None where callers have none, and `team` what its team is allowed, if anything.
    """

    scope: str
    grant: Grant | None = None
    team: Allowance | None = None


LOCAL = Caller("local")  # the one owner of everything on a machine where callers are not told apart


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything in the settings and policies that shapes the bytes a segment becomes; part of its memo key.

    `llmlingua` says whether prose may lose words to a model, `llmlingua_rate` which share of its tokens stays, None for what
    the settings say. Bump `version` when a change of the compressors must not replay older results.
    """

    fidelity: Fidelity = "reversible"
    min_tokens: int = 150
    version: int = 1
    llmlingua: bool = False
    llmlingua_rate: float | None = None

    def digest(self) -> str:
        words = f":llmlingua:{self.llmlingua_rate}" if self.llmlingua else ""
        return f"{self.version}:{self.fidelity}:{self.min_tokens}{words}"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """An embedding model: a directory or a name of the Hugging Face hub, where it runs, by what, and with how many threads.

    Without `download` only files on this machine are used, and no socket is opened.
    """

    name: str
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    batch_size: int = 32
    threads: int = 1
    download: bool = False
    engine: Literal["auto", "onnx", "torch"] = "auto"


@dataclass(frozen=True, slots=True)
class PrunerSpec:
    """A model that leaves words out (LLMLingua-2): a directory or a name of the Hugging Face hub, where and how it runs.

    `batch_tokens` are those it takes at once, `threads` those of a CPU, 0 for what suits the device. `sha256` is that of the
    weights, empty where they are taken as they are. Without `download` only files on this machine are used.
    """

    model: str
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_tokens: int = 0
    threads: int = 0
    memory_fraction: float = 1.0
    sha256: str = ""
    download: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """A prose text of which `rate` of the tokens may stay, none of a probability below `threshold`; `question` is what is asked of it."""

    text: str
    question: str = ""
    rate: float = 0.5
    threshold: float = 0.0


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a passage became; `text` is None where it stays as it is, and `reason` says why. `words` it has, `kept` are left."""

    text: str | None
    words: int = 0
    kept: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Advice:
    """What was learned about the outputs of one tool from how often they were asked for again.

    `asked` is how many tenths of the cut outputs were; `whole` says not to compress, `tenths` which tenths of the items to
    keep, `errors` to keep every item that speaks of one, `fields` whose values to keep uncut.
    """

    asked: int = 0
    whole: bool = False
    tenths: tuple[int, ...] = ()
    errors: bool = False
    fields: tuple[str, ...] = ()


NO_ADVICE = Advice()


@_packed
@dataclass(frozen=True, slots=True)
class Segment:
    """A compressible text with what stands before and at it, and its address in the call.

    `slot` is the position of the JSON string literal (quotes included) in the body's text; `part`
    is the range inside the decoded string that this segment covers, or None for all of it.
    `question` is the user's own words of the segment's turn, `intent` the assistant's words that
    led to the tool call. Nothing here may come from later in the conversation.
    `nth` counts the results of the same call up to the one this text is of, from 1; 0 for pasted data.
    `protected` says why this text must stay as it is, or is empty. `advice` was learned from earlier traffic and is no part
    of the key: what it led to first is remembered, and a conversation keeps the version it began with.
    """

    text: str
    slot: tuple[int, int]
    part: tuple[int, int] | None = None
    tool: str = ""
    arguments: str = ""
    question: str = ""
    intent: str = ""
    protected: str = ""
    advice: Advice = NO_ADVICE
    nth: int = 0

    def memo_key(self, scope: str, policy: Policy) -> str:
        """SHA-256 over everything the result may depend on, and the owner."""
        state = hashlib.sha256()
        for value in (policy.digest(), scope, self.tool, self.arguments, self.question, self.intent, self.text):
            data = value.encode("utf-8", "surrogatepass")
            state.update(len(data).to_bytes(8, "big"))
            state.update(data)
        if self.nth > 1:
            state.update(self.nth.to_bytes(8, "big"))
        return state.hexdigest()


@_packed
@dataclass(frozen=True, slots=True)
class Compressed:
    """What a segment became. `text` is None when it stays as it came, and `reason` says why.

    `hash` redeems the original; `items` and `items_kept` count its rows or lines and those still
    readable in `text`; `ms` is the time it took, 0 when it was replayed.
    """

    text: str | None
    transform: str = ""
    reason: str = ""
    tokens_before: int = 0
    tokens_after: int = 0
    hash: str = ""
    items: int = 0
    items_kept: int = 0
    ms: float = 0.0

    @property
    def tokens_saved(self) -> int:
        return self.tokens_before - self.tokens_after

    @property
    def cut(self) -> bool:
        """Whether something of the original is not readable in `text`."""
        return self.text is not None and self.items_kept < self.items

    @property
    def label(self) -> str:
        """`router:smart_crusher:0.35`, the ratio being tokens after over before; `recall` for a text that was added."""
        if not self.tokens_before:
            return self.transform
        return f"router:{self.transform}:{self.tokens_after / self.tokens_before:.2f}"


@dataclass(frozen=True, slots=True)
class Turn:
    """The end of a turn, where excerpts of what was left out may be appended.

    `query` is what the turn is about, `spoken` whether a user said it; `before` is how many
    segments stand before the turn, `segments` how many before its end. `slot` is where its last
    text stands: a string literal, or an empty range behind the last block. `form` says how a text
    is appended there: "append" to the string, "wrap" the string into blocks, or insert a "block";
    `block` is the type of a block of text.
    """

    query: str
    before: int
    segments: int
    slot: tuple[int, int]
    form: Literal["append", "wrap", "block"]
    spoken: bool = True
    block: str = "text"


@_packed
@dataclass(frozen=True, slots=True)
class Repeat:
    """Lines start..end (from 0, end excluded) of a text stand in the text numbered `source`, from line `at` on.

    `whole` says that the two texts are equal.
    """

    start: int
    end: int
    source: int
    at: int
    whole: bool = False


@_packed
@dataclass(frozen=True, slots=True)
class SourceRef:
    """A segment of the conversation that later ones refer to: its number in it, its memo key, its result if it is known.

    `name` is the call that printed it: `read({"path": "a.py"})`. `text` is given where a later one may be told by how it differs.
    """

    number: int
    key: str
    known: Compressed | None = None
    name: str = ""
    text: str = ""


@_packed
@dataclass(frozen=True, slots=True)
class Recall:
    """What one turn asks of the `before` segments that stand before it, and the block if it is known.

    `most` are the tokens of the block, 0 where the usual bound holds.
    """

    key: str
    query: str
    before: int
    spoken: bool
    known: Compressed | None = None
    most: int = 0


@dataclass(frozen=True, slots=True)
class Original:
    """A text as it came, kept so that it can be read back exactly."""

    hash: str
    text: str
    tool: str = ""
    tokens: int = 0
    items: int = 0
    items_kept: int = 0
    retrievals: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """What crosses the hop to a compressor: segments, never a whole body.

    `keys` are the segments' memo keys, `repeats` what of each stands earlier in the conversation,
    `states` the number of the earlier segment that is another state of the same object, or None,
    `names` what each calls the earlier segments that these two name, by number.
    `lineage` is the key of the conversation's first segment, empty when there is none.
    `count` are further texts whose tokens the caller wants counted exactly. `sources` are the
    texts that `recalls` search and the others refer to, those of earlier jobs by their known result. `learn` says whether a
    model will see the results, so that it can be learned from what it asks for again.
    `pruned` has what a model made of each segment, None where it was not asked or gave no answer; empty where it was asked for none.
    Of a `trial` nothing is stored and nothing remembered: it shows that jobs are done.
    """

    segments: tuple[Segment, ...]
    policy: Policy
    scope: str
    model: str
    count: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    lineage: str = ""
    repeats: tuple[tuple[Repeat, ...], ...] = ()
    states: tuple[int | None, ...] = ()
    names: tuple[Mapping[int, str], ...] = ()
    sources: tuple[SourceRef, ...] = ()
    recalls: tuple[Recall, ...] = ()
    learn: bool = True
    pruned: tuple[Pruned | None, ...] = ()
    trial: bool = False

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.segments or self.count) and all(recall.known is not None for recall in self.recalls)


@dataclass(frozen=True, slots=True)
class JobResult:
    """One `Compressed` per segment of the job, in order; `counted` are tokens per text of `Job.count`.

    `recalled` has one `Compressed` per recall that was not known; its text is the block to append. `waste` is what the
    segments waste, tokens by kind, where the caller asked for it.
    """

    compressed: tuple[Compressed, ...]
    counted: tuple[int, ...] = ()
    recalled: tuple[Compressed, ...] = ()
    waste: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A request body, read once. `text` is `raw` decoded; `body` remembers where its strings stand.

    `reason` is set when the body must be forwarded untouched, and says why. `document` is the `documents.Document` that `body` is
    the root of, where there is one.
    """

    dialect: str
    raw: bytes
    text: str = ""
    body: Any = None
    model: str = ""
    stream: bool = False
    reason: str = ""
    document: Any = None

    @property
    def fresh(self) -> int:
        """How many characters stood in no earlier call that is still known."""
        return len(self.text) - (self.document.taken if self.document else 0)
