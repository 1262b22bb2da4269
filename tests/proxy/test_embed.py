"""The embedded face's model: a process of its own, lazily, and a reason whenever there is no vector."""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from headroom.model import ModelSpec
from headroom.proxy.compress import Degraded
from headroom.proxy.embed import NoEmbed
from headroom.proxy.embed_process import ProcessEmbed, embedded_embed
from headroom.proxy.model_process import ModelProcess
from headroom.scoring import onnx
from headroom.scoring.embedding import Embedder
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import HTTP, embedded, settings_for

Story = Callable[[ProcessEmbed], Awaitable[None]]


def run(story: Story, spec: ModelSpec, retry_s: float = 0.0) -> None:
    async def whole() -> None:
        embed = ProcessEmbed(spec, 100, retry_s)
        await embed.start()
        try:
            await story(embed)
        finally:
            await embed.close()
        assert not processes()

    asyncio.run(whole())


def processes() -> list[multiprocessing.process.BaseProcess]:
    return [child for child in multiprocessing.active_children() if child.name == "headroom-embed"]


async def reason(call: Awaitable[object]) -> str:
    with pytest.raises(Degraded) as degraded:
        await call
    return degraded.value.reason


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  another thread makes it true
            await asyncio.sleep(0.02)


def test_a_process_is_started_when_it_is_needed(model: str) -> None:
    async def story(embed: ProcessEmbed) -> None:
        assert (embed.enabled, embed.ready, processes()) == (True, False, [])
        assert (await embed([], 0)).shape == (0, 0)
        assert await reason(embed(["late"], 0.01)) == "starting"
        await until(lambda: embed.status == "loading")
        vectors = await embed(["one", "two", "one"], WAIT_S)
        assert (vectors.shape, vectors.dtype) == ((3, 384), np.float32)
        assert np.array_equal(vectors[0], vectors[2])
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert (embed.ready, embed.status) == (True, "ready")
        assert np.array_equal(await embed(["two", "late"], 0), [vectors[1], (await embed(["late"], 0))[0]]), "known texts take no time"
        assert await reason(embed(["three"], 0)) == "deadline"

    run(story, ModelSpec(model, "cpu"))


def test_a_process_that_dies_is_replaced(model: str) -> None:
    async def story(embed: ProcessEmbed) -> None:
        await embed(["one"], WAIT_S)
        (first,) = processes()
        first.kill()
        await until(lambda: not processes())
        assert await reason(embed(["two"], WAIT_S)) == "worker_died"
        assert not embed.ready
        assert (await embed(["one"], 0)).shape == (1, 384)
        assert (await embed(["two"], WAIT_S)).shape == (1, 384)
        assert processes() != [first]

    run(story, ModelSpec(model, "cpu"))


def test_nothing_is_left_of_what_another_model_made(onnx_model: Path, tmp_path: Path) -> None:
    """The files of a model are replaced, and then its process."""
    directory = Path(shutil.copytree(onnx_model, tmp_path / "model"))
    spec = ModelSpec(str(directory))

    async def story(embed: ProcessEmbed) -> None:
        assert embed.model == ""
        int8 = await embed(["one"], WAIT_S)
        first = embed.model
        for name in onnx.int8_files():
            (directory / "onnx" / name).unlink(missing_ok=True)
        processes()[0].kill()
        assert await reason(embed(["two"], WAIT_S)) == "worker_died"
        assert (await embed(["one"], 0) == int8).all()
        both = await embed(["one", "two"], WAIT_S)
        assert np.array_equal(both, Embedder(spec)(["one", "two"]))
        assert not np.array_equal(both[0], int8[0])
        assert embed.model not in ("", first)

    run(story, spec)


def test_a_process_that_died_is_left_alone_for_a_while(model: str) -> None:
    async def story(embed: ProcessEmbed) -> None:
        await embed(["one"], WAIT_S)
        processes()[0].kill()
        assert await reason(embed(["two"], WAIT_S)) == "worker_died"
        assert await reason(embed(["two"], WAIT_S)) == "worker_died"
        assert not processes()

    run(story, ModelSpec(model, "cpu"), retry_s=3600)


def test_a_call_nobody_waits_for_leaves_the_queue(model: str) -> None:
    async def story(embed: ProcessEmbed) -> None:
        first = asyncio.create_task(embed(["one"], WAIT_S))
        await until(lambda: embed.status == "loading")
        second = asyncio.create_task(embed(["two"], WAIT_S))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert (await first).shape == (1, 384)
        assert await reason(embed(["two"], 0)) == "deadline", "it was computed all the same"

    run(story, ModelSpec(model, "cpu"))


def test_without_a_model_there_is_a_reason(tmp_path: Path) -> None:
    async def absent(embed: ProcessEmbed) -> None:
        await until(lambda: not embed.enabled)
        assert await reason(embed(["one"], WAIT_S)) == "no_model"
        assert embed.status.startswith("no_model: ")

    async def damaged(embed: ProcessEmbed) -> None:
        assert await reason(embed(["one"], WAIT_S)) == "failed"
        assert not embed.enabled
        assert embed.status.startswith("failed: ")

    run(absent, ModelSpec("sentence-transformers/no-such-model"))
    (tmp_path / "config.json").write_text("{")
    run(damaged, ModelSpec(str(tmp_path)))


def test_ending_while_it_loads_is_no_failure(model: str, caplog: pytest.LogCaptureFixture) -> None:
    async def story(embed: ProcessEmbed) -> None:
        assert await reason(embed(["late"], 0.01)) == "starting"
        await until(lambda: embed.status == "loading")

    run(story, ModelSpec(model, "cpu"))
    assert "no answer" not in caplog.text


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    embed = embedded_embed(settings_for("http://127.0.0.1:1", tmp_path, scoring={"model": "off"}))
    assert isinstance(embed, NoEmbed)
    assert asyncio.run(reason(embed(["one"], 1))) == "off"


@pytest.mark.parametrize(
    ("name", "enabled", "status"), [("off", False, "off"), ("no/such-model", False, "no_model"), ("", True, "loads when it is needed")]
)
def test_health_says_it(model: str, name: str, enabled: bool, status: str, provider: Provider, tmp_path: Path) -> None:
    with embedded(settings_for(provider, tmp_path, scoring={"model": name or model})) as url:
        health = HTTP.get(f"{url}/health").json()
        scorer = health["checks"]["scorer"]
    assert health["ready"]
    assert (scorer["enabled"], scorer["ready"]) == (enabled, False)
    assert scorer["status"].startswith(status)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_model_that_is_not_there_is_told_to_whom_asked_for_it(wanted: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        embed = ProcessEmbed(ModelSpec("no/such-model"), 100, wanted=wanted)
        await embed.start()
        await embed.close()
        assert embed.status.startswith("no_model: the model no/such-model is not on this machine")

    asyncio.run(story())
    assert ("no/such-model" in caplog.text) is wanted


def test_threads_that_end_a_process_at_once_close_it_once() -> None:
    for _ in range(5):
        process = ModelProcess("once", partial, str)
        process.loaded()
        with ThreadPoolExecutor(8) as threads:
            for ending in [threads.submit(process.end) for _ in range(8)]:
                ending.result()
