"""A real open model server, `transformers serve`, with a model of random weights that a test makes: it says nothing that makes sense,
over a real OpenAI-compatible API.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

_TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"
_WAIT_S = 300.0
_WIDTH, _LAYERS = 64, 2


def make_model(folder: Path) -> None:
    """A Llama of two layers, its vocabulary the bytes; written without torch, which takes longer to import than all else here."""
    raw = Tokenizer(BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
    trainer = BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    raw.train_from_iterator(["What is running on node-3?"], trainer)
    raw.save(str(folder / "tokenizer.json"))
    size = raw.get_vocab_size()
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": size, "dtype": "float32"}
    config |= {"hidden_size": _WIDTH, "intermediate_size": 2 * _WIDTH, "num_hidden_layers": _LAYERS, "num_attention_heads": 2}
    config |= {"num_key_value_heads": 2, "max_position_embeddings": 32_768, "eos_token_id": 0, "pad_token_id": 0}
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": "<|end|>", "chat_template": _TEMPLATE}
    for name, value in (("config", config), ("tokenizer_config", told)):
        (folder / f"{name}.json").write_text(json.dumps(value))
    save_file(_weights(size), folder / "model.safetensors", metadata={"format": "pt"})


def _weights(size: int) -> dict[str, np.ndarray[Any, Any]]:
    draw = np.random.default_rng(7)
    square, wide, tall = (_WIDTH, _WIDTH), (2 * _WIDTH, _WIDTH), (_WIDTH, 2 * _WIDTH)
    shapes = {"model.embed_tokens": (size, _WIDTH), "lm_head": (size, _WIDTH)}
    for layer in range(_LAYERS):
        place = f"model.layers.{layer}"
        shapes |= {f"{place}.self_attn.{name}_proj": square for name in "qkvo"}
        shapes |= {f"{place}.mlp.gate_proj": wide, f"{place}.mlp.up_proj": wide, f"{place}.mlp.down_proj": tall}
    found = {f"{name}.weight": draw.normal(0, 0.02, shape).astype(np.float32) for name, shape in shapes.items()}
    norms = ["model.norm", *(f"model.layers.{n}.{kind}_layernorm" for n in range(_LAYERS) for kind in ("input", "post_attention"))]
    return found | {f"{name}.weight": np.ones(_WIDTH, np.float32) for name in norms}


@contextmanager
def serving_model(folder: Path) -> Iterator[str]:
    """The base URL of the server; it asks no model hub."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(folder), "--device", "cpu", "--port", str(port)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "OMP_NUM_THREADS": "1"}
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        until = time.monotonic() + _WAIT_S
        while not _answers(port):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
