"""The model: tokens of texts, and how probable it is that each should stay. The one place that knows torch and the model library.

Models of LLMLingua-2's form: token classification with two labels (1 = keep) by XLM-RoBERTa or BERT, with a fast tokenizer,
from a directory or a name of the Hugging Face hub. Code that comes with a model is never run. Probabilities of equal texts may
differ in their last digits from batch to batch and from device to device.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headroom.errors import ModelUnavailable
from headroom.model import PrunerSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headroom.compressors.llmlingua.words import Floats, Ints

_MODULES = ("torch", "transformers", "numpy")
_FAMILIES = {"bert": "bert-base-multilingual-cased", "xlm-roberta": "xlm-roberta-large"}  # type of a model -> what the library calls it
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_WINDOW = 512  # positions of a model of these families
_FRAME = 2  # of them for the signs that begin and end a piece
_BATCH_TOKENS = {"cpu": 4096, "mps": 8192, "cuda": 32_768}


def check(spec: PrunerSpec) -> None:
    """Raises ModelUnavailable when the model cannot be loaded here: what it needs is not installed, or it is not on this machine.

    Imports neither torch nor the model library.
    """
    absent = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if absent:
        raise ModelUnavailable("not_installed", f"{', '.join(absent)} not installed: pip install 'headroom[llmlingua]'")
    if not spec.download and find(spec.model) is None:
        mend = f"`hf download {spec.model}`, or set HEADROOM_LLMLINGUA_MODEL to a directory that holds one"
        raise ModelUnavailable("no_model", f"the model {spec.model} is not on this machine: {mend}")


def find(name: str) -> Path | None:
    """The directory of a model that is on this machine."""
    directory = Path(name).expanduser()
    if directory.is_dir():
        return directory if (directory / "config.json").is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:  # a path that is none
        return None
    return Path(found).parent if isinstance(found, str) else None


def family(name: str) -> str:
    """What the library calls models of this one's type; empty where it is not on this machine or of no known type."""
    directory = find(name)
    if directory is None:
        return ""
    return _FAMILIES.get(json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type", ""), "")


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """The n tokens of one text: their ids, and the characters that each covers; without the signs that frame a piece."""

    ids: Ints
    starts: Ints
    ends: Ints


class Classifier:
    """A loaded model. `family` is what the library calls it, `device` and `dtype` where and how it runs.

    `begins` says of each id of the vocabulary what it is for a word: see `parity`. `forward_s` are the seconds spent in the
    model so far. One thread at a time.
    """

    def __init__(self, spec: PrunerSpec) -> None:
        """Loads the model, which takes seconds. Raises ModelUnavailable."""
        check(spec)
        try:
            self._load(spec)
        except ModelUnavailable:
            raise
        except Exception as failure:  # fence: whatever a model's files or its library raise
            raise ModelUnavailable("failed", f"the model {spec.model} could not be loaded: {failure}") from failure

    def _load(self, spec: PrunerSpec) -> None:
        import torch
        from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        torch.set_num_threads(spec.threads or torch.get_num_threads())
        known = find(spec.model)
        source = str(known) if known else spec.model
        options: dict[str, Any] = {"local_files_only": not spec.download, "trust_remote_code": False}
        config = AutoConfig.from_pretrained(source, **options)
        _suits(spec.model, config)
        if spec.sha256:
            _intact(spec, Path(source))
        self.device = _device(spec.device)
        self.dtype = _dtype(spec.dtype, self.device)
        if self.device == "cuda":
            torch.cuda.set_per_process_memory_fraction(spec.memory_fraction)
        model = AutoModelForTokenClassification.from_pretrained(source, dtype=self.dtype, attn_implementation="sdpa", **options)
        self._model = model.to(self.device).eval()
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        if not tokenizer.is_fast:
            raise ModelUnavailable("failed", f"the model {spec.model} has no fast tokenizer (tokenizer.json)")
        self._tokenizer = tokenizer.backend_tokenizer
        self.family = _FAMILIES[config.model_type]
        self.config = config
        self.window = min(_WINDOW, config.max_position_embeddings) - _FRAME
        self.vocabulary: list[str] = list(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))
        self.special = frozenset(tokenizer.all_special_ids)
        self._frame = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id)
        self.batch_tokens = spec.batch_tokens or _BATCH_TOKENS[self.device]
        self.forward_s = 0.0

    def tokens(self, texts: Sequence[str]) -> list[Tokens]:
        """Linear in the texts, on all cores."""
        import numpy as np

        plain = [text.encode("utf-8", "replace").decode() for text in texts]  # no tokenizer takes a lone surrogate; as long as before
        found = []
        for encoding in self._tokenizer.encode_batch(plain, add_special_tokens=False):
            offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
            filled = offsets[:, 0] < offsets[:, 1]
            found.append(Tokens(np.array(encoding.ids, np.int64)[filled], offsets[filled, 0], offsets[filled, 1]))
        return found

    def framed(self, ids: Ints) -> Ints:
        """A piece as the model wants it."""
        import numpy as np

        return np.concatenate(([self._frame[0]], ids, [self._frame[1]]))

    def probabilities(self, pieces: Sequence[Ints], over: Callable[[], bool] | None = None) -> list[Floats]:
        """For each piece (framed ids) the probability of every id, float32. Raises TimeoutError when it is `over` before a batch."""
        import torch

        from headroom.compressors.llmlingua.chunks import batches  # needs numpy, which the proxy itself does without

        started = time.perf_counter()
        places: list[int] = []
        results: list[Any] = []
        with torch.inference_mode():
            for batch in batches([len(piece) for piece in pieces], self.batch_tokens):
                if over is not None and over():
                    raise TimeoutError("nobody waits for it any more")
                places += batch
                results.append(self._forward([pieces[place] for place in batch]))
            flat = torch.cat(results).cpu().numpy() if results else None  # one copy, the device having worked through
        self.forward_s += time.perf_counter() - started
        return [] if flat is None else _apart(flat, pieces, places)

    def _forward(self, pieces: Sequence[Ints]) -> Any:
        """The probabilities of a batch's ids one after the other, still on the device."""
        import torch

        longest = max(map(len, pieces))
        ids = torch.full((len(pieces), longest), self._frame[2], dtype=torch.long)
        mask = torch.zeros((len(pieces), longest), dtype=torch.bool)
        for row, piece in enumerate(pieces):
            ids[row, : len(piece)] = torch.from_numpy(piece)
            mask[row, : len(piece)] = True
        padded = not bool(mask.all())
        ids, mask = ids.to(self.device, non_blocking=True), mask.to(self.device, non_blocking=True)
        logits = self._model(input_ids=ids, attention_mask=mask if padded else None).logits
        probabilities = torch.softmax(logits.float(), -1)[..., 1]
        return probabilities[mask] if padded else probabilities.flatten()


def _apart(flat: NDArray[np.float32], pieces: Sequence[Ints], places: Sequence[int]) -> list[Floats]:
    result: list[Floats] = [flat[:0]] * len(pieces)
    at = 0
    for place in places:
        result[place] = flat[at : at + len(pieces[place])]
        at += len(pieces[place])
    return result


def _suits(name: str, config: Any) -> None:
    if config.model_type not in _FAMILIES:
        raise ModelUnavailable("failed", f"the model {name} is of type {config.model_type}; LLMLingua-2 knows {', '.join(_FAMILIES)}")
    if not any("ForTokenClassification" in name for name in config.architectures or ()) or config.num_labels != 2:
        raise ModelUnavailable("failed", f"the model {name} classifies no tokens as kept or not: it is no LLMLingua-2 model")


def digest(directory: Path) -> str:
    """SHA-256 of the weights in a model's directory; empty when there is no single file of them."""
    for name in _WEIGHTS:
        if (directory / name).is_file():
            with (directory / name).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    return ""


def _intact(spec: PrunerSpec, directory: Path) -> None:
    found = digest(directory)
    if found != spec.sha256.lower():
        said = f"are {found}" if found else "are not one file"
        raise ModelUnavailable("failed", f"the weights of {spec.model} {said}, HEADROOM_LLMLINGUA_SHA256 says {spec.sha256.lower()}")


def parameters(directory: Path) -> int:
    """How many numbers a forward pass multiplies a token with: those of the layers, without the embeddings."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    return int(config["num_hidden_layers"] * (4 * hidden * hidden + 2 * hidden * inner))


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelUnavailable("failed", "there is no CUDA device here: --llmlingua-device cpu, or auto")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise ModelUnavailable("failed", "there is no Metal device here: --llmlingua-device cpu, or auto")
    return wanted


def _dtype(wanted: str, device: str) -> Any:
    """Half the bits where the device multiplies them faster: bfloat16 on a recent CUDA device and on CPUs with AMX, float16 on others."""
    import torch

    if wanted != "auto":
        return getattr(torch, wanted)
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device == "mps":
        return torch.float16
    has_tiles = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return torch.bfloat16 if has_tiles() else torch.float32
