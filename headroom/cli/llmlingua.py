"""`headroom llmlingua`: whether a model decides here as it does in the library, and from which size of a text on it pays."""

from __future__ import annotations

from typing import Literal

import click

from headroom.cli.options import Finite
from headroom.cli.terminal import console
from headroom.model import PrunerSpec

_TEXTS = 240
_RUNS = ((0.5, False), (0.33, True), (0.7, False))


@click.group("llmlingua")
def command() -> None:
    """Try LLMLingua-2 models on this machine."""


@command.command("check", short_help="Compare decisions with those of PromptCompressor.")
@click.argument("model")
@click.option("--texts", default=_TEXTS, show_default=True, help="How many texts, of nine languages and six kinds.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
def check(model: str, texts: int, device: str) -> None:
    """Compare our decisions with those of llmlingua.PromptCompressor on the weights of MODEL, a directory or a name of the hub.

    Word by word, both in float32. Exit code 1 when they differ. Needs headroom[llmlingua] and a model on this machine.
    """
    from headroom import tokens
    from headroom.cli.llmlingua_check import NOISE, compare, prompt_compressor
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
                f"{len(found.different)} decided differently, {found.noise} at the threshold to within {NOISE:g}; "
                f"{len(found.apart)} texts whose words differ (signs the vocabulary lacks, or no full stop in 510 tokens)"
            )
    if differ:
        click.get_current_context().exit(1)


@command.command("measure", short_help="Say how fast a model is, and which texts it pays for.")
@click.argument("model", required=False)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Where it runs  [the settings']")
@click.option("--rate", type=Finite(0.05, 0.95), help="Share of the tokens that stays  [the settings']")
def measure(model: str | None, device: Literal["auto", "cpu", "cuda", "mps"] | None, rate: float | None) -> None:
    """Say how fast MODEL (by default the settings' own) is on this machine, and which texts it pays for."""
    import dataclasses

    from headroom import tokens
    from headroom.cli.options import load
    from headroom.compressors.llmlingua.pruner import Pruner
    from headroom.compressors.llmlingua.worth import WORTH_MS, break_even

    settings = load(None)
    lingua = settings.llmlingua
    spec = dataclasses.replace(lingua.spec, model=model or lingua.model, device=device or lingua.device)
    rate = rate or lingua.rate
    pruner = Pruner(spec, tokens.counter("", settings.vocabulary_dir).count)
    speed = pruner.warm_up(runs=5)
    least, most = break_even(speed, rate), speed.holds(lingua.deadline_ms)
    classifier = pruner.classifier
    console().print(
        f"{classifier.family} on {classifier.device}, {str(classifier.dtype).removeprefix('torch.')}: "
        f"{speed.fixed_ms:.1f} ms and {speed.token_ms:.3f} ms per token"
    )
    if least is None:
        console().print(f"At rate {rate:g} no text pays: a token left out costs more than {WORTH_MS:g} ms.")
    else:
        console().print(f"At rate {rate:g} texts of {least:,} tokens and more pay; in {lingua.deadline_ms} ms it does {most:,} tokens.")
