"""LLMLingua-2 with models of both families: the library's decisions on the same weights, and what is ours alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from headroom import tokens
from headroom.cli.llmlingua_check import compare, prompt_compressor
from headroom.cli.llmlingua_texts import many
from headroom.compressors.llmlingua.classifier import Classifier, check, digest
from headroom.compressors.llmlingua.keep import missing, must_keep
from headroom.compressors.llmlingua.parity import Library
from headroom.compressors.llmlingua.pruner import Pruner
from headroom.errors import ModelUnavailable
from headroom.model import Passage, PrunerSpec

COUNT = tokens.counter().count


def spec(model: Path, **options: object) -> PrunerSpec:
    return PrunerSpec(str(model), device="cpu", dtype="float32", threads=1, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pruner(lingua_model: Path) -> Pruner:
    return Pruner(spec(lingua_model), COUNT)


def test_decides_as_the_library_does(lingua_model: Path) -> None:
    classifier = Classifier(spec(lingua_model))
    library = Library(classifier, tokens.counter("gpt-3.5-turbo").count)
    texts = many(216, most=24)
    with prompt_compressor(classifier, lingua_model) as theirs:
        for some, rate, digits in ((texts[:110], 0.5, False), (texts[100:], 0.3, True), (texts[:20], 0.7, False)):
            found = compare(library, theirs, some, rate, digits=digits)
            assert (found.different, found.apart) == ((), ())
            assert found.words > 40 * len(some)
            assert found.noise < found.words / 1000
        odd = ["snow \u2603 man here. " * 9, "", "   ", "one " * 1200]  # signs that no vocabulary of these has, no full stop
        assert len(compare(library, theirs, [odd[0], odd[3]], 0.5).apart) <= 2


def test_words_stay_whole_and_what_must_stay_stays(pruner: Pruner) -> None:
    texts = many(60, seed=5)
    done = pruner([Passage(text, "Who is Bruno?", rate=0.4) for text in texts])
    for text, pruned in zip(texts, done, strict=True):
        assert pruned.text is not None
        assert missing(text, must_keep(text, "Who is Bruno?"), pruned.text) is None
        left = iter(text.split())
        if not any(sign >= "\u0e00" for sign in text if sign.isalpha()):
            bare = [word.strip(".,;:!?-\u00ab\u00bb\u00bf\u2014") for word in pruned.text.split()]
            assert all(any(word in other for other in left) for word in bare), "a word that is none of the text, or in another order"
        assert pruned.kept <= pruned.words


@pytest.mark.parametrize("rate", [0.35, 0.5, 0.75])
def test_the_rate_is_kept_to_two_points(pruner: Pruner, rate: float) -> None:
    texts = [" ".join(sentence for sentence in many(1, seed, 60)) for seed in range(0, 90, 9)]
    texts = [text for text in texts if COUNT(text) > 300 and not any(sign.isdigit() for sign in text)] or texts
    for text, pruned in zip(texts, pruner([Passage(text, rate=rate) for text in texts]), strict=True):
        forced = COUNT(" ".join(text[start:end] for start, end in must_keep(text))) / COUNT(text)
        assert pruned.text is not None
        if COUNT(text) > 300 and forced < rate - 0.15:
            assert abs(COUNT(pruned.text) / COUNT(text) - rate) <= 0.02


def test_a_threshold_leaves_out_what_is_less_probable(pruner: Pruner) -> None:
    (text,) = many(1, 3, 30)
    sizes = [len(one.text or "") for one in pruner([Passage(text, rate=1.0, threshold=least) for least in (0.0, 0.3, 0.6, 0.9)])]
    assert sizes[0] == len(text)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[3] < sizes[0]


def test_a_text_becomes_the_same_in_any_company(pruner: Pruner) -> None:
    texts = many(24, seed=11)
    together = pruner([Passage(text) for text in texts])
    alone = [pruner([Passage(text)])[0] for text in texts]
    assert together == alone
    assert pruner([]) == []


def test_odd_texts_are_no_trouble(pruner: Pruner) -> None:
    odd = [
        "",
        " \n",
        "a",
        "\ud800 b \x00 c",
        "\u200b" * 50,
        "x" * 5000,
        "no " * 3000,
        "!?." * 400,
        "\U0001f600 \u0301 \u2028 ok",
        "\r\n\r\n a b\r\n",
    ]
    for text, pruned in zip(odd, pruner([Passage(text, rate=0.3) for text in odd]), strict=True):
        assert pruned.text is not None
        assert not set(pruned.text) - set(text) - set(" \n")
    assert pruner([Passage("no " * 3000, rate=0.3)])[0].text == "no " * 3000, "negations were left out"


def test_the_time_of_the_caller_ends_the_work(pruner: Pruner) -> None:
    with pytest.raises(TimeoutError):
        pruner([Passage(many(1)[0])], over=lambda: True)


def test_half_the_bits_decide_much_the_same(lingua_model: Path, pruner: Pruner) -> None:
    half = Classifier(PrunerSpec(str(lingua_model), device="cpu", dtype="bfloat16", threads=1))
    full = pruner.classifier
    pieces = [full.framed(one.ids[:400]) for one in full.tokens(many(12, seed=2))]
    for one, other in zip(half.probabilities(pieces), full.probabilities(pieces), strict=True):
        assert one.dtype == other.dtype == np.float32
        assert np.abs(one - other).mean() < 0.02


@pytest.mark.parametrize(
    ("name", "reason", "mend"),
    [("microsoft/no-such-model", "no_model", "HEADROOM_LLMLINGUA_MODEL"), ("/nowhere/at all", "no_model", "hf download")],
)
def test_a_model_that_is_not_here_is_said_so(name: str, reason: str, mend: str) -> None:
    for attempt in (check, Classifier):
        with pytest.raises(ModelUnavailable, match=mend) as failure:
            attempt(PrunerSpec(name))
        assert failure.value.reason == reason


def test_weights_that_are_not_those_of_the_settings_are_refused(lingua_model: Path) -> None:
    Classifier(spec(lingua_model, sha256=digest(lingua_model).upper()))
    with pytest.raises(ModelUnavailable, match="HEADROOM_LLMLINGUA_SHA256 says 0123"):
        Classifier(spec(lingua_model, sha256="0123" * 16))


def test_models_of_another_form_are_refused(lingua_model: Path, model: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no LLMLingua-2 model"):
        Classifier(PrunerSpec(model, device="cpu"))
    damaged = tmp_path / "damaged"
    shutil.copytree(lingua_model, damaged)
    (damaged / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(ModelUnavailable, match="could not be loaded"):
        Classifier(PrunerSpec(str(damaged), device="cpu"))


@pytest.mark.gpu
def test_the_same_on_a_cuda_device(lingua_model: Path, pruner: Pruner) -> None:
    there = Pruner(PrunerSpec(str(lingua_model), device="cuda", dtype="float32"), COUNT)
    texts = many(40, seed=3)
    pieces = [pruner.classifier.framed(one.ids[:500]) for one in pruner.classifier.tokens(texts)]
    for one, other in zip(there.classifier.probabilities(pieces), pruner.classifier.probabilities(pieces), strict=True):
        assert np.allclose(one, other, atol=1e-3)
    assert all(pruned.text for pruned in there([Passage(text) for text in texts]))
