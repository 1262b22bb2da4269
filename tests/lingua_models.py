"""Models of LLMLingua-2's form with random weights, their tokenizers trained on the spot; by default tiny ones."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

Family = Literal["bert-base-multilingual-cased", "xlm-roberta-large"]
FAMILIES: tuple[Family, ...] = ("bert-base-multilingual-cased", "xlm-roberta-large")
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SIZES: dict[Family, dict[str, int]] = {  # of the published models, but for their vocabularies
    "bert-base-multilingual-cased": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    "xlm-roberta-large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
}


def make(directory: Path, family: Family, texts: Iterable[str], size: dict[str, int] | None = None, seed: int = 7) -> Path:
    """The model's directory, its name that of the family. The vocabulary is learned from the texts."""
    import torch
    from transformers import BertConfig, BertForTokenClassification, XLMRobertaConfig, XLMRobertaForTokenClassification

    place = directory / family
    tokenizer = _bert_tokenizer(texts) if family.startswith("bert") else _xlm_tokenizer(texts)
    tokenizer.save_pretrained(place)
    options: dict[str, Any] = {"vocab_size": len(tokenizer), "num_labels": 2, **(size or TINY)}
    torch.manual_seed(seed)
    model: Any
    if family.startswith("bert"):
        model = BertForTokenClassification(BertConfig(pad_token_id=tokenizer.pad_token_id, **options))
    else:
        ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": 0, "eos_token_id": 2}
        model = XLMRobertaForTokenClassification(XLMRobertaConfig(max_position_embeddings=514, type_vocab_size=1, **ids, **options))
    torch.nn.init.normal_(model.classifier.weight, std=1.0)  # probabilities all over the scale
    model.save_pretrained(place)
    return place


def _bert_tokenizer(texts: Iterable[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertTokenizer

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # type: ignore[call-arg]
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=4000, special_tokens=special, limit_alphabet=2000))
    return BertTokenizer(vocab=tokenizer.get_vocab(), do_lower_case=False, strip_accents=False)


def _xlm_tokenizer(texts: Iterable[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import XLMRobertaTokenizer

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(texts, trainers.UnigramTrainer(vocab_size=4000, special_tokens=special, unk_token="<unk>"))
    import json

    vocabulary = [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]
    return XLMRobertaTokenizer(vocab=vocabulary)
