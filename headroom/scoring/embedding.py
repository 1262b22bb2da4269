"""Sentence embeddings: texts to vectors, and a bounded memory of them. The one place that knows the model library.

A vector is a row of float32 with length 1, so a dot product is the cosine. Of a text only what the model's window
holds is looked at, and at most its first `MAX_CHARS` characters. The same text may differ in the last digits of
its vector from batch to batch and from machine to machine: what is decided by vectors must be remembered, not
computed again. Neither numpy nor torch is imported before a vector is asked for. Both classes may be used from any thread.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headroom.errors import ModelUnavailable
from headroom.model import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

MAX_CHARS = 4000
_MODULES = ("sentence_transformers", "torch", "numpy")
_CONFIGS = ("modules.json", "config.json")  # one of them is in every model's directory
_HUB_OWNER = "sentence-transformers"  # of names without one


def check(spec: ModelSpec) -> None:
    """Raises ModelUnavailable when the model cannot be loaded here: what it needs is not installed, or it is not on this machine.

    Imports neither torch nor the model library.
    """
    absent = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if absent:
        raise ModelUnavailable("not_installed", f"{', '.join(absent)} not installed: pip install 'headroom[embed]'")
    if not spec.download and not _on_this_machine(spec.name):
        mend = f"`hf download {spec.name}`, or set HEADROOM_EMBED_MODEL to a directory that holds one"
        raise ModelUnavailable("no_model", f"the model {spec.name} is not on this machine: {mend}")


def _on_this_machine(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    directory = Path(name).expanduser()
    if directory.is_dir():
        return any((directory / config).is_file() for config in _CONFIGS)
    repository = name if "/" in name else f"{_HUB_OWNER}/{name}"
    try:
        return any(isinstance(try_to_load_from_cache(repository, config), str) for config in _CONFIGS)
    except HFValidationError:  # a path that is none
        return False


class Embedder:
    """A loaded model. `window` is how many tokens of a text it sees, `dimensions` the length of its vectors."""

    def __init__(self, spec: ModelSpec) -> None:
        """Loads the model, which takes seconds. Raises ModelUnavailable."""
        check(spec)
        try:
            self._model = _load(spec)
        except Exception as failure:  # fence: whatever a model's files or its library raise
            raise ModelUnavailable("failed", f"the model {spec.name} could not be loaded: {failure}") from failure
        self._batch_size = spec.batch_size
        self._lock = threading.Lock()
        self.window: int = self._model.max_seq_length
        self.dimensions: int = self._model.get_embedding_dimension()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """(n, dimensions), contiguous, one row per text; linear in the texts."""
        import numpy as np

        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        plain = [cropped(text).encode("utf-8", "replace").decode() for text in texts]  # no tokenizer takes a lone surrogate
        with self._lock:
            vectors = self._model.encode(plain, batch_size=self._batch_size, normalize_embeddings=True, show_progress_bar=False)
        return np.ascontiguousarray(vectors, np.float32)


def _load(spec: ModelSpec) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(spec.threads)
    device = None if spec.device == "auto" else spec.device
    name = str(Path(spec.name).expanduser()) if Path(spec.name).expanduser().is_dir() else spec.name
    return SentenceTransformer(name, device=device, local_files_only=not spec.download)


def cropped(text: str) -> str:
    """The part of a text that a vector may depend on."""
    return text[:MAX_CHARS]


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a memory knows of some texts: `missing` are those it does not, each once."""

    keys: Sequence[bytes]
    rows: Mapping[bytes, Vectors]
    missing: Mapping[bytes, str]


class EmbeddingMemo:
    """Vectors by content hash; above `entries` the least recently used go."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._rows: OrderedDict[bytes, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def lookup(self, texts: Sequence[str]) -> Lookup:
        """Microseconds a text."""
        keys = [hashlib.blake2b(cropped(text).encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        rows: dict[bytes, Vectors] = {}
        with self._lock:
            for key in keys:
                row = self._rows.get(key)
                if row is not None:
                    rows[key] = row
                    self._rows.move_to_end(key)
        return Lookup(keys, rows, {key: cropped(text) for key, text in zip(keys, texts, strict=True) if key not in rows})

    def remember(self, found: Lookup, fresh: Vectors) -> None:
        """Keep the vectors of `found.missing`, one row each, in its order."""
        rows = [row.copy() for row in fresh]  # each of its own, so that no batch stays in memory for one of its rows
        with self._lock:
            self._rows.update(zip(found.missing, rows, strict=True))
            while len(self._rows) > self._entries:
                self._rows.popitem(last=False)


def joined(found: Lookup, fresh: Vectors | None = None) -> Vectors:
    """(n, d), a row per text that was looked up; `fresh` are the vectors of `found.missing`. (0, 0) for no texts."""
    import numpy as np

    if not found.keys:
        return np.empty((0, 0), np.float32)
    rows = found.rows if fresh is None else {**found.rows, **dict(zip(found.missing, fresh, strict=True))}
    return np.stack([rows[key] for key in found.keys])
