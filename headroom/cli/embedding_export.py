"""Makes the ONNX files of an embedding model from its weights, and holds them against what torch makes of the same texts."""

from __future__ import annotations

import importlib.util
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headroom.cli.llmlingua_texts import SENTENCES, many
from headroom.errors import ModelUnavailable
from headroom.model import ModelSpec
from headroom.scoring.embedding import Embedder
from headroom.scoring.onnx import FLOAT32, FOLDER, OnnxModel, absent, int8_files, pooling

_MODULES = ("sentence_transformers", "torch", "onnx")
_LONG_TEXTS = 24
_SHORT = "Could you tell me how to close the main valve of the pump?"
_RUNS = 20
_OPSET = 17
_LEAST_COSINE = 0.99
_PER_COLUMN: Mapping[str, Any] = {"per_channel": True, "extra_options": {"MatMulConstBOnly": True}}
_IN_FLOAT = (0, 1 / 6, 1 / 3, 1 / 2, 1)  # shares of the projections from wide to narrow that are tried
_ALSO_IN_FLOAT = (1 / 6, 1 / 3, 1 / 2)  # and of the others, beside all of these


@dataclass(frozen=True, slots=True)
class Written:
    """A file, the milliseconds of processor that a short text takes with it and with torch, and its cosines with torch's vectors."""

    file: Path
    ms: float
    torch_ms: float
    cosines: Sequence[float]


class Torch:
    """What files are compared with: the model by torch, and its vectors of texts of nine languages, short and long."""

    def __init__(self, directory: Path) -> None:
        self._embedder = Embedder(ModelSpec(str(directory), "cpu", engine="torch"))
        self._texts = [*(text for some in SENTENCES.values() for text in some), *many(_LONG_TEXTS)]
        self._rows = self._embedder(self._texts)
        self._ms = _ms(self._embedder)
        self._directory = directory

    def compared(self, file: Path) -> Written:
        model = OnnxModel(self._directory, file, threads=1)
        cosines = (model.encode(self._texts) * self._rows).sum(axis=1)
        return Written(file, _ms(model.encode), self._ms, cosines.tolist())


def write(directory: Path, int8: bool) -> Sequence[Written]:
    """Writes `onnx/model.onnx` and, with `int8`, the variant for this machine; all of them or, where one is not as good as torch, none.

    Raises ModelUnavailable, also for a model that `OnnxModel` would refuse.
    """
    missing = [*absent(), *(name for name in _MODULES if importlib.util.find_spec(name) is None)]
    if missing:
        raise ModelUnavailable("not_installed", f"{', '.join(missing)} not installed: pip install 'headroom[embed-export]'")
    pooling(directory)
    torch = Torch(directory)
    with tempfile.TemporaryDirectory(dir=directory, prefix=f"{FOLDER}.") as beside, _quietly():
        float32 = Path(beside) / FLOAT32
        _float32(directory, float32)
        written = [_good(torch.compared(float32))]
        if int8:
            written += [_int8(float32, float32.with_name(name), torch) for name in int8_files()[:1]]
        folder = directory / FOLDER
        folder.mkdir(exist_ok=True)
        return [replace(made, file=made.file.replace(folder / made.file.name)) for made in written]


def _float32(directory: Path, file: Path) -> None:
    """With attention spelled out, which is what onnxruntime knows how to fuse."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(directory, attn_implementation="eager", local_files_only=True).float().eval()
    names = list(AutoTokenizer.from_pretrained(directory, local_files_only=True).model_input_names)

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *given: Any) -> Any:
            return self.model(**dict(zip(names, given, strict=True))).last_hidden_state

    axes = {name: {0: "texts", 1: "tokens"} for name in [*names, "last_hidden_state"]}
    example = tuple(torch.full((2, 8), int(name != "token_type_ids")) for name in names)
    with torch.inference_mode():
        torch.onnx.export(
            States(),
            example,
            str(file),
            input_names=names,
            output_names=["last_hidden_state"],
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )


def _int8(source: Path, file: Path, torch: Torch) -> Written:
    """Weights in eight bits, each column with a scale of its own; activations are scaled as they come.

    Without VNNI weights of seven bits lose less. What loses most are the projections from wide to narrow, those of the first layers
    before others, then all others. As many of them stay in float32 as it takes.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(str(source)).graph
    shapes = {weight.name: weight.dims for weight in graph.initializer}
    products = [(node.name, shapes[node.input[1]]) for node in graph.node if node.op_type == "MatMul" and node.input[1] in shapes]
    narrowing = [name for name, shape in products if shape[0] > shape[1]]
    others = [name for name, shape in products if shape[0] <= shape[1]]
    narrow = "avx2" in file.name
    kind = QuantType.QUInt8 if narrow else QuantType.QInt8
    some = [narrowing[: math.ceil(share * len(narrowing))] for share in _IN_FLOAT]
    for stay in [*some, *(narrowing + others[: math.ceil(share * len(others))] for share in _ALSO_IN_FLOAT)]:
        quantize_dynamic(source, file, weight_type=kind, reduce_range=narrow, nodes_to_exclude=stay, **_PER_COLUMN)
        made = torch.compared(file)
        if min(made.cosines) >= _LEAST_COSINE:
            break
    return _good(made)


def _good(made: Written) -> Written:
    """Raises ModelUnavailable for a file that makes other vectors than torch does."""
    least = min(made.cosines)
    if not least >= _LEAST_COSINE:
        mend = "" if made.file.name == FLOAT32 else "; --float32 leaves this file out"
        raise ModelUnavailable(
            "failed",
            f"nothing was written: of {len(made.cosines)} texts one has a vector by {made.file.name} whose cosine with torch's is "
            f"{least:.4f}, and {_LEAST_COSINE} is wanted{mend}",
        )
    return made


def _ms(embed: Callable[[Sequence[str]], Any]) -> float:
    took = []
    for _ in range(_RUNS):
        begun = time.process_time()
        embed([_SHORT])
        took.append(1000 * (time.process_time() - begun))
    return statistics.median(took)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's remarks on how it traces."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
