"""Prose through the embedded proxy with a small LLMLingua-2 model: shorter, the same every turn, readable back, and never in the way."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from headroom.ccr import marker
from headroom.cli.llmlingua_texts import many, text
from headroom.cli.main import main
from headroom.errors import SettingsError
from headroom.model import Passage, Pruned, PrunerSpec
from headroom.pipeline import PRUNED
from headroom.proxy.compress import Degraded
from headroom.proxy.prune import Prune
from headroom.proxy.prune_process import ProcessPrune, embedded_prune
from headroom.settings import Settings
from tests.lingua_models import make
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import HTTP, asking, embedded, printed, serving, settings_for, stats_of

pytestmark = pytest.mark.timeout(400)
LOADED_S = 5 * WAIT_S  # importing a model library takes seconds, on a busy machine a minute
LINGUA = {"enabled": True, "device": "cpu", "threads": 1, "rate": 0.5, "deadline_ms": 300_000}
PROSE = text("en", "paragraphs", 30, 1)
Story = Callable[[ProcessPrune], Awaitable[None]]


@pytest.fixture(scope="module")
def lingua_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make(tmp_path_factory.mktemp("lingua"), "bert-base-multilingual-cased", many(60)))


class Scripted(Prune):
    """Answers with what it is told; keeps what it was asked."""

    enabled = ready = True
    status = "ready"

    def __init__(self, answer: Callable[[Passage], Pruned] | str) -> None:
        self.answer = answer
        self.asked: list[Passage] = []

    async def __call__(self, passages: Sequence[Passage], timeout_s: float) -> Sequence[Pruned]:
        self.asked += passages
        if isinstance(self.answer, str):
            raise Degraded(self.answer)
        return [self.answer(passage) for passage in passages]

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return


def sent(provider: Provider) -> list[Any]:
    """The messages of the last forwarded request."""
    messages: list[Any] = json.loads(provider.requests[-1].body)["messages"]
    return messages


def ask(url: str, *outputs: str) -> None:
    answer = HTTP.post(f"{url}/v1/messages", json=asking(printed(*outputs)), headers={"x-api-key": "k"}, timeout=LOADED_S)
    assert answer.status_code == 200


def halved(passage: Passage) -> Pruned:
    words = passage.text.split(" ")
    return Pruned(" ".join(words[::2]), len(words), len(words[::2]))


def lingua_settings(provider: Provider, home: Path, model: str, **more: Any) -> Settings:
    return settings_for(provider, home, llmlingua=LINGUA | {"model": model} | more, compression={"deadline_ms": 600_000})


def test_prose_becomes_shorter_the_same_every_turn_and_can_be_read_back(provider: Provider, tmp_path: Path, lingua_model: str) -> None:
    other = text("de", "article", 30, 2)
    with embedded(lingua_settings(provider, tmp_path, lingua_model)) as url:
        health = HTTP.get(f"{url}/health").json()["checks"]["llmlingua"]
        assert (health["enabled"], health["ready"], health["status"]) == (True, False, "loads when it is needed")
        ask(url, PROSE)
        first = sent(provider)
        (block,) = first[2]["content"]
        assert len(block["content"]) < 0.7 * len(PROSE)
        (digest,) = marker.hashes(block["content"])
        assert HTTP.get(f"{url}/v1/retrieve/{digest}").json()["original_content"] == PROSE
        ask(url, PROSE, other)
        assert sent(provider)[: len(first)] == first, "the prefix moved"
        assert HTTP.get(f"{url}/health").json()["checks"]["llmlingua"]["status"] == "ready"
        stats = stats_of(url, 2)
        assert stats["degraded"] == {}
        assert PRUNED in json.dumps(stats)
    with embedded(lingua_settings(provider, tmp_path, lingua_model, rate=0.5, deadline_ms=1)) as url:
        ask(url, PROSE)
        assert sent(provider) == first, "what a model once made of a text stands"


def test_the_first_answer_stands_whatever_the_model_says_later(provider: Provider, tmp_path: Path) -> None:
    settings = lingua_settings(provider, tmp_path, "scripted")
    with serving(settings, prune=Scripted(halved)) as url:
        ask(url, PROSE)
    first = sent(provider)
    other = Scripted(lambda passage: Pruned(passage.text[:50], 100, 10))
    with serving(settings, prune=other) as url:
        ask(url, PROSE)
    assert sent(provider) == first
    assert not other.asked


@pytest.mark.parametrize("reason", ["deadline", "starting", "worker_died", "overloaded"])
def test_without_an_answer_the_rest_goes_on_and_the_reason_is_told(reason: str, provider: Provider, tmp_path: Path) -> None:
    settings = lingua_settings(provider, tmp_path, "scripted")
    with serving(settings, prune=Scripted(reason)) as url:
        ask(url, PROSE)
        assert sent(provider) == printed(PROSE)
        assert stats_of(url, 1)["degraded"] == {f"llmlingua:{reason}": 1}
    with serving(settings, prune=Scripted(halved)) as url:
        ask(url, PROSE)
        assert sent(provider) == printed(PROSE), "the model was there in a later turn, and the prefix moved"


def test_only_prose_of_a_size_is_given_to_the_model(provider: Provider, tmp_path: Path) -> None:
    prune = Scripted(halved)
    rows = json.dumps([{"id": n, "name": "x"} for n in range(400)])
    log = "\n".join(f"2026-03-14 08:00:{n % 60:02} INFO request {n} took {n} ms" for n in range(300))
    code = "\n".join(f"def work_{n}(value):\n    return value + {n}\n" for n in range(200))
    with serving(lingua_settings(provider, tmp_path, "scripted", min_tokens=400), prune=prune) as url:
        ask(url, rows, log, code, text("en", "article", 5, 3), PROSE, PROSE)
    assert [passage.text for passage in prune.asked] == [PROSE], "once; what stands earlier is referred to"
    assert prune.asked[0].rate == 0.5
    assert "What was decided?" in prune.asked[0].question
    with serving(settings_for(provider, tmp_path / "off"), prune=prune) as url:
        ask(url, PROSE)
    with serving(lingua_settings(provider, tmp_path / "lossless", "scripted"), prune=prune) as url:
        headers = {"x-api-key": "k", "x-headroom-mode": "lossless"}
        assert HTTP.post(f"{url}/v1/messages", json=asking(printed(PROSE)), headers=headers).status_code == 200
    assert len(prune.asked) == 1


def test_what_is_not_smaller_is_not_used(provider: Provider, tmp_path: Path) -> None:
    with serving(lingua_settings(provider, tmp_path, "scripted"), prune=Scripted(lambda passage: Pruned(passage.text, 9, 8))) as url:
        ask(url, PROSE)
    assert sent(provider) == printed(PROSE)


def run(story: Story, model: str, retry_s: float = 0.0) -> None:
    async def whole() -> None:
        prune = ProcessPrune(PrunerSpec(model, "cpu", threads=1), retry_s=retry_s)
        await prune.start()
        try:
            await story(prune)
        finally:
            await prune.close()
        assert not processes()

    asyncio.run(whole())


def processes() -> list[multiprocessing.process.BaseProcess]:
    return [child for child in multiprocessing.active_children() if child.name == "headroom-llmlingua"]


async def reason(call: Awaitable[object]) -> str:
    with pytest.raises(Degraded) as degraded:
        await call
    return degraded.value.reason


def test_the_process_comes_when_it_is_needed_and_is_replaced_when_it_dies(lingua_model: str) -> None:
    passage = Passage(PROSE, rate=0.5)

    async def story(prune: ProcessPrune) -> None:
        assert (prune.enabled, prune.ready, processes()) == (True, False, [])
        assert await reason(prune([passage], 0.01)) == "starting"
        (done,) = await prune([passage], LOADED_S)
        assert done.text is not None
        assert len(done.text) < 0.7 * len(PROSE)
        assert prune.ready
        (small,) = await prune([Passage("Too small to pay.")], WAIT_S)
        assert (small.text, small.reason) == (None, "too_small")
        assert await reason(prune([passage], 0)) == "deadline"
        assert await prune([passage], LOADED_S) == [done]  # behind the one before, which the process may have begun
        (first,) = processes()
        first.kill()
        first.join()
        assert await reason(prune([passage], WAIT_S)) == "worker_died"
        assert await prune([passage], LOADED_S) == [done]

    run(story, lingua_model)


def test_a_text_that_takes_longer_than_there_is_time_is_not_begun(lingua_model: str) -> None:
    async def story(prune: ProcessPrune) -> None:
        await prune([Passage(PROSE)], LOADED_S)
        huge = Passage(PROSE * 300)
        assert await reason(prune([huge], 0.5)) in ("too_large", "deadline")
        assert (await prune([Passage(PROSE)], WAIT_S))[0].text, "it was computed all the same"

    run(story, lingua_model)


def test_damaged_weights_are_told(tmp_path: Path, lingua_model: str) -> None:
    damaged = tmp_path / "bert-base-multilingual-cased"
    damaged.mkdir()
    for file in Path(lingua_model).iterdir():
        (damaged / file.name).write_bytes(b"\x00" * 64 if file.suffix == ".safetensors" else file.read_bytes())

    async def story(prune: ProcessPrune) -> None:
        assert await reason(prune([Passage(PROSE)], LOADED_S)) == "failed"
        assert not prune.enabled
        assert prune.status.startswith("failed: ")

    run(story, str(damaged))


def test_what_is_wanted_and_cannot_be_is_said_at_the_start(provider: Provider, tmp_path: Path) -> None:
    settings = lingua_settings(provider, tmp_path, str(tmp_path / "no-model"))
    with pytest.raises(SettingsError, match=r"--llmlingua: .*not on this machine"):
        embedded_prune(settings)
    from click.testing import CliRunner

    done = CliRunner().invoke(main, ["proxy", "--port", "0", "--llmlingua", "--llmlingua-model", str(tmp_path / "no-model")])
    assert done.exit_code == 2
    assert "not on this machine" in done.output
