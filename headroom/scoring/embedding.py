"""Sentence embeddings: texts to vectors, and a bounded memory of them. The one place that says which engine runs a model.

A vector is a row of float32 with length 1, so a dot product is the cosine. Of a text only what the model's window
holds is looked at, and at most its first `MAX_CHARS` characters. The same text may differ in the last digits of
its vector from batch to batch and from machine to machine: what is decided by vectors must be remembered, not
computed again. Neither numpy nor an engine is imported before a vector is asked for. Both classes may be used from any thread.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from headroom.errors import ModelUnavailable
from headroom.model import ModelSpec
from headroom.scoring import onnx

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

MAX_CHARS = 4000
_MODULES = ("sentence_transformers", "torch", "numpy")
_CONFIGS = ("modules.json", "config.json")  # one of them is in every model's directory
_CARD = Path("/dev/nvidia0")
_HUB_OWNER = "sentence-transformers"  # of names without one


def check(spec: ModelSpec) -> None:
    """Raises ModelUnavailable when the model cannot be loaded here: what it needs is not installed, or it is not on this machine.

    Imports neither torch, onnxruntime nor the model library.
    """
    if onnx_file(spec):
        return
    absent = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if absent:
        mend = "pip install 'headroom[embed]', or 'headroom[embed-onnx]' and a model with ONNX files"
        raise ModelUnavailable("not_installed", f"{', '.join(absent)} not installed: {mend}")
    if not spec.download and find(spec.name) is None:
        mend = f"`hf download {spec.name}`, or set HEADROOM_EMBED_MODEL to a directory that holds one"
        raise ModelUnavailable("no_model", f"the model {spec.name} is not on this machine: {mend}")


def onnx_file(spec: ModelSpec) -> Path | None:
    """The ONNX file that makes the vectors; None where torch does.

    It is onnxruntime wherever that is installed and the model carries a file for it, unless the settings name torch or a device
    other than the CPU, or leave the device open on a machine whose card torch would take. Raises ModelUnavailable where they name
    onnxruntime and it cannot be.
    """
    wanted = spec.engine == "onnx"
    takes_card = spec.device == "auto" and _CARD.exists() and importlib.util.find_spec("torch") is not None
    if spec.engine == "torch" or (not wanted and (takes_card or spec.device not in ("auto", "cpu"))):
        return None
    absent = onnx.absent()
    if absent and wanted:
        raise ModelUnavailable("not_installed", f"{', '.join(absent)} not installed: pip install 'headroom[embed-onnx]'")
    directory = None if absent else find(spec.name)
    file = onnx.file_in(directory) if directory else None
    if wanted and spec.device not in ("auto", "cpu"):
        raise ModelUnavailable("failed", f"onnxruntime runs on the CPU, not on {spec.device}: HEADROOM_EMBED_DEVICE=cpu")
    if wanted and not file:
        mend = f"`headroom embedding export DIRECTORY` makes one, `hf download {spec.name}` fetches one"
        raise ModelUnavailable("no_model", f"the model {spec.name} has no ONNX file on this machine: {mend}")
    return file


def find(name: str) -> Path | None:
    """The directory of a model that is on this machine."""
    directory = Path(name).expanduser()
    if directory.is_dir():
        return directory if any((directory / config).is_file() for config in _CONFIGS) else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    repository = name if "/" in name else f"{_HUB_OWNER}/{name}"
    try:
        found = (try_to_load_from_cache(repository, config) for config in _CONFIGS)
        return next((Path(file).parent for file in found if isinstance(file, str)), None)
    except HFValidationError:  # a path that is none
        return None


class Model(Protocol):
    """What an engine makes of a model's files. `identity` differs where vectors may: for other files, and for another engine."""

    window: int
    dimensions: int
    identity: str

    def encode(self, texts: Sequence[str]) -> Vectors: ...


@dataclass(frozen=True, slots=True)
class Made:
    """Vectors, and the identity of what made them; those of two identities are never compared."""

    model: str
    rows: Vectors


class Embedder:
    """A loaded model. `window` is how many tokens of a text it sees, `dimensions` the length of its vectors."""

    def __init__(self, spec: ModelSpec) -> None:
        """Loads the model, which takes seconds. Raises ModelUnavailable."""
        check(spec)
        try:
            self._model = _load(spec)
        except ModelUnavailable:
            raise
        except Exception as failure:  # fence: whatever a model's files or its library raise
            raise ModelUnavailable("failed", f"the model {spec.name} could not be loaded: {failure}") from failure
        self._lock = threading.Lock()
        self.window = self._model.window
        self.dimensions = self._model.dimensions
        self.identity = self._model.identity

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """(n, dimensions), contiguous, one row per text; linear in the texts."""
        import numpy as np

        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        plain = [cropped(text).encode("utf-8", "replace").decode() for text in texts]  # no tokenizer takes a lone surrogate
        with self._lock:
            return self._model.encode(plain)

    def made(self, texts: Sequence[str]) -> Made:
        """The same, with what made them."""
        return Made(self.identity, self(texts))


def _load(spec: ModelSpec) -> Model:
    file = onnx_file(spec)
    return onnx.OnnxModel(file.parent.parent, file, spec.threads) if file else _TorchModel(spec)


class _TorchModel:
    """By sentence-transformers."""

    def __init__(self, spec: ModelSpec) -> None:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(spec.threads)
        device = None if spec.device == "auto" else spec.device
        name = str(Path(spec.name).expanduser()) if Path(spec.name).expanduser().is_dir() else spec.name
        self._batch_size = spec.batch_size
        self._model = SentenceTransformer(name, device=device, local_files_only=not spec.download)
        self.window = int(self._model.max_seq_length or MAX_CHARS)  # without a limit only `cropped` is one
        self.dimensions = int(self._model.get_embedding_dimension() or 0)
        state = hashlib.sha256(f"torch {self.window}".encode())
        for weight in self._model.state_dict().values():
            state.update(weight.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        self.identity = state.hexdigest()[:16]

    def encode(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        rows = self._model.encode(list(texts), batch_size=self._batch_size, normalize_embeddings=True, show_progress_bar=False)
        return np.ascontiguousarray(rows, np.float32)


def cropped(text: str) -> str:
    """The part of a text that a vector may depend on."""
    return text[:MAX_CHARS]


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a memory knows of some texts, and which model made that: `missing` are those it does not, each once."""

    keys: Sequence[bytes]
    rows: Mapping[bytes, Vectors]
    missing: Mapping[bytes, str]
    model: str = ""

    def fits(self, fresh: Made) -> bool:
        """Whether what is known and what was made may be compared."""
        return not self.rows or self.model == fresh.model


class EmbeddingMemo:
    """Vectors by content hash, of one model; above `entries` the least recently used go."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._rows: OrderedDict[bytes, Vectors] = OrderedDict()
        self._lock = threading.Lock()
        self.model = ""  # the identity of what made them, empty before the first

    def __len__(self) -> int:
        return len(self._rows)

    def lookup(self, texts: Sequence[str]) -> Lookup:
        """Microseconds a text."""
        keys = [hashlib.blake2b(cropped(text).encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        rows: dict[bytes, Vectors] = {}
        with self._lock:
            model = self.model
            for key in keys:
                row = self._rows.get(key)
                if row is not None:
                    rows[key] = row
                    self._rows.move_to_end(key)
        return Lookup(keys, rows, {key: cropped(text) for key, text in zip(keys, texts, strict=True) if key not in rows}, model)

    def remember(self, found: Lookup, fresh: Made) -> None:
        """Keep the vectors of `found.missing`, one row each, in its order. What another model made is forgotten."""
        rows = [row.copy() for row in fresh.rows]  # each of its own, so that no batch stays in memory for one of its rows
        with self._lock:
            if fresh.model != self.model:
                self._rows.clear()
                self.model = fresh.model
            self._rows.update(zip(found.missing, rows, strict=True))
            while len(self._rows) > self._entries:
                self._rows.popitem(last=False)


def joined(found: Lookup, fresh: Made | None = None) -> Vectors:
    """(n, d), a row per text that was looked up; `fresh` are the vectors of `found.missing`. (0, 0) for no texts."""
    import numpy as np

    if not found.keys:
        return np.empty((0, 0), np.float32)
    rows = found.rows if fresh is None else {**found.rows, **dict(zip(found.missing, fresh.rows, strict=True))}
    return np.stack([rows[key] for key in found.keys])
