"""`headroom llmlingua`: whether a model decides here as it does in the library."""

from __future__ import annotations

import click

from headroom.cli.terminal import console
from headroom.model import PrunerSpec

_TEXTS = 240
_RUNS = ((0.5, False), (0.33, True), (0.7, False))


@click.group("llmlingua")
def command() -> None:
    """Try LLMLingua-2 models on this machine."""


@command.command("check")
@click.argument("model")
@click.option("--texts", default=_TEXTS, show_default=True, help="How many texts, of nine languages and six kinds.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
def check(model: str, texts: int, device: str) -> None:
    """Compare our decisions with those of llmlingua.PromptCompressor on the weights of MODEL, a directory or a name of the hub.

    Word by word, both in float32. Exit code 1 when they differ. Needs headroom[llmlingua] and a model on this machine.
    """
    from headroom import tokens
    from headroom.cli.llmlingua_check import compare, prompt_compressor
    from headroom.cli.llmlingua_texts import many
    from headroom.compressors.llmlingua.classifier import Classifier, find
    from headroom.compressors.llmlingua.parity import Library

    classifier = Classifier(PrunerSpec(model, "cuda" if device == "cuda" else "cpu", "float32"))
    directory = find(model)
    assert directory is not None  # it was loaded from there
    library = Library(classifier, tokens.counter("gpt-3.5-turbo").count)
    made = many(texts)
    differ = 0
    with prompt_compressor(classifier, directory, device) as theirs:
        for rate, digits in _RUNS:
            found = compare(library, theirs, made, rate, digits=digits)
            differ += len(found.different)
            console().print(
                f"rate {rate}{', digits kept' if digits else ''}: {found.texts} texts, {found.words:,} words; "
                f"{len(found.different)} decided differently, {found.noise} at the threshold to within 1e-5; "
                f"{len(found.apart)} texts whose words differ (signs the vocabulary lacks, or no full stop in 510 tokens)"
            )
    if differ:
        click.get_current_context().exit(1)
