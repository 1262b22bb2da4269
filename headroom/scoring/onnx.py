"""Sentence embeddings by onnxruntime, for a model whose directory carries ONNX files; neither torch nor the model library is imported.

The files stand where sentence-transformers puts them: `onnx/model.onnx` in float32, beside it int8 variants named after the
processors that they are made for. Texts go through one at a time: int8 scales activations by what is in the batch, so that a
text's vector would depend on its company, and with one thread batches are no faster.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headroom.errors import ModelUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "onnx"
FLOAT32 = "model.onnx"
_MODULES = ("onnxruntime", "tokenizers", "numpy", "huggingface_hub")
_INT8 = {"vnni": "model_qint8_avx512_vnni.onnx", "x86": "model_quint8_avx2.onnx", "arm": "model_qint8_arm64.onnx"}
_MACHINES = {"x86_64": "x86", "amd64": "x86", "aarch64": "arm", "arm64": "arm"}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def absent() -> Sequence[str]:
    """The modules that are not installed."""
    return [name for name in _MODULES if importlib.util.find_spec(name) is None]


@cache
def int8_files() -> Sequence[str]:
    """The names of the int8 variants that are right on this machine's processor, the fastest first.

    Signed weights saturate on x86 without VNNI, so there they are unsigned; with it, signed ones take half the time.
    """
    kind = _MACHINES.get(platform.machine().lower())
    flags = Path("/proc/cpuinfo")  # elsewhere VNNI is not looked for
    vnni = kind == "x86" and flags.is_file() and not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags.read_text(encoding="utf-8").split())
    return [_INT8[name] for name in ("vnni" if vnni else "", kind) if name]


def file_in(directory: Path) -> Path | None:
    """The fastest of a model's ONNX files that is right on this machine."""
    files = (directory / FOLDER / name for name in (*int8_files(), FLOAT32))
    return next((file for file in files if file.is_file()), None)


class OnnxModel:
    """A loaded model. `window` is in tokens; `identity` differs where vectors may."""

    def __init__(self, directory: Path, file: Path, threads: int) -> None:
        """Raises ModelUnavailable for a model that asks for more than is done here, and what the libraries raise for damaged files."""
        import onnxruntime
        from tokenizers import Tokenizer

        self._pooling = pooling(directory)
        self.window = _window(directory)
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.window)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait take no processor
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._inputs = [given.name for given in self._session.get_inputs()]
        if strange := set(self._inputs) - set(_INPUTS):
            raise ModelUnavailable("failed", f"{file} asks for {', '.join(sorted(strange))}, which no tokenizer gives")
        self._output = self._session.get_outputs()[0].name
        self.identity = _identity(directory / "tokenizer.json", file, f"{self._pooling} {self.window}")
        self.dimensions: int = self.encode(["dimensions"]).shape[1]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions), rows of length 1, each of its text alone. Texts must be encodable as UTF-8."""
        import numpy as np

        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> NDArray[np.float32]:
        import numpy as np

        seen = self._tokenizer.encode(text)
        given = {"input_ids": seen.ids, "attention_mask": seen.attention_mask, "token_type_ids": seen.type_ids}
        (states,) = self._session.run([self._output], {name: np.array([given[name]], np.int64) for name in self._inputs})
        row = states[0][0] if self._pooling == "cls" else states[0].mean(axis=0)
        return np.asarray(row / max(float(np.linalg.norm(row)), 1e-12), np.float32)


def pooling(directory: Path) -> str:
    """How token vectors become one: `mean` or `cls`. Raises ModelUnavailable for a model that does anything else with them."""
    modules = {module["type"].rpartition(".")[2]: module["path"] for module in _read(directory / "modules.json") or []}
    if not {"Transformer", "Pooling"} <= set(modules) <= {"Transformer", "Pooling", "Normalize"} or modules["Transformer"]:
        raise _beyond(directory, f"its modules are {', '.join(modules) or 'not told'}")
    if (_read(directory / "config_sentence_transformers.json") or {}).get("default_prompt_name"):
        raise _beyond(directory, "it puts a prompt before every text")
    if (_read(directory / "sentence_bert_config.json") or {}).get("do_lower_case"):
        raise _beyond(directory, "it wants texts in lower case")
    said = _read(directory / modules["Pooling"] / "config.json") or {}
    modes = (
        [said["pooling_mode"]] if "pooling_mode" in said else [_mode(name) for name, on in said.items() if "pooling_mode_" in name and on]
    )
    if modes not in (["mean"], ["cls"]):
        raise _beyond(directory, f"its pooling is {', '.join(map(str, modes)) or 'not told'}")
    return str(modes[0])


def _mode(name: str) -> str:
    """`pooling_mode_mean_tokens`, or `mean` as it is in newer files."""
    return name.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens")


def _beyond(directory: Path, why: str) -> ModelUnavailable:
    return ModelUnavailable("failed", f"{directory} has ONNX files, but {why}: HEADROOM_EMBED_ENGINE=torch runs it as it is")


def _window(directory: Path) -> int:
    """Tokens of a text that are looked at."""
    said = (_read(directory / "sentence_bert_config.json") or {}).get("max_seq_length")
    return int(said or _read(directory / "config.json")["max_position_embeddings"])


def _read(file: Path) -> Any:
    """What a JSON file says, None where there is none."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _identity(tokenizer: Path, file: Path, how: str) -> str:
    state = hashlib.sha256(f"onnx {file.name} {how}".encode())
    for part in (tokenizer, file):
        with part.open("rb") as data:
            state.update(hashlib.file_digest(data, "sha256").digest())
    return state.hexdigest()[:16]
