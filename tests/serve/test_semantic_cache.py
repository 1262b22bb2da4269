"""The SemanticCache deployment: one replica, three under load, one of them killed, one again; no wrong answer, no failed request."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path

import httpx
import pytest
import ray

from tests.provider import WAIT_S, Provider, Received, Script
from tests.serve.deployed import Deployed, until

pytestmark = [pytest.mark.serve, pytest.mark.timeout(400)]
SCALING = {
    "min_replicas": 1,
    "max_replicas": 3,
    "target_ongoing_requests": 0.01,  # a lookup takes a millisecond
    "metrics_interval_s": 0.5,
    "look_back_period_s": 1,
    "upscale_delay_s": 0.2,
    "downscale_delay_s": 2,
}
QUESTIONS = [(deed, thing) for deed in ("open", "close") for thing in ("valve", "oven", "garage", "drawer", "window", "locker")]
FIRST = "How do I {} the {}?"
WORDINGS = ["Could you tell me how to {} the {}?", "What is the best way to {} the {}?", "how can I {} the {}"]
NUMBER = itertools.count()


def answered(received: Received) -> tuple[str, list[bytes]]:
    """An answer that says what was asked for."""
    words = received.json["messages"][0]["content"].replace("?", "").split()
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": f"{words[-3]} {words[-1]}"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    return "application/json", [json.dumps(message).encode()]


def ask(client: httpx.Client, url: str, text: str, question: tuple[str, str]) -> str:
    """How it was answered, `wrong` or `failed`."""
    body = {"model": "m", "max_tokens": 9, "temperature": 0, "messages": [{"role": "user", "content": text.format(*question)}]}
    answer = client.post(f"{url}/v1/messages", json=body, headers={"x-api-key": "ada"})
    if answer.status_code != 200:
        return "failed"
    said = answer.json()["content"][0]["text"]
    return answer.headers["x-headroom-cache"] if said == " ".join(question) else "wrong"


def reworded() -> str:
    """Other words, and blanks as nobody has set them before, so that no request is equal to an earlier one."""
    number = next(NUMBER)
    words = WORDINGS[number % len(WORDINGS)].split(" ")
    return "".join(word + " " * (1 + (number >> 2 * place) % 4) for place, word in enumerate(words)).strip()


def logged() -> str:
    """What the replicas of the tier said."""
    session = Path(ray._private.worker.global_worker.node.get_session_dir_path())
    return "".join(file.read_text() for file in session.glob("logs/serve/*SemanticCache*.log"))


@pytest.fixture
def deployed(_deployed: Deployed, provider: Provider, model: str) -> Deployed:
    provider.always = Script(compose=answered)
    _deployed.ensure(model=model, semantic={"autoscaling_config": SCALING})
    return _deployed


@pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning")
def test_replicas_come_die_and_go_and_every_answer_is_right(deployed: Deployed) -> None:
    def replicas() -> set[str]:
        return deployed.replicas("SemanticCache")

    def all_hit() -> bool:
        """Every question, in words of its own."""
        return {ask(client, deployed.url, reworded(), question) for question in QUESTIONS} == {"hit-semantic"}

    results: list[str] = []
    over = threading.Event()

    def load(number: int) -> None:
        with httpx.Client(timeout=WAIT_S) as mine:
            for turn in itertools.count(number):
                if over.is_set():
                    return
                results.append(ask(mine, deployed.url, reworded(), QUESTIONS[turn % len(QUESTIONS)]))

    client = httpx.Client(timeout=WAIT_S)
    assert {ask(client, deployed.url, FIRST, question) for question in QUESTIONS} == {"miss"}
    until(all_hit)
    until(lambda: len(replicas()) == 1)
    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(replicas()) == 3)
        killed = min(replicas())
        ray.kill(ray.get_actor(killed, namespace="serve"))
        until(lambda: len(replicas() - {killed}) == 3)
        since = len(results)
        until(lambda: len(results) >= since + 100)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert set(results) <= {"hit-semantic", "hit-exact", "miss"}, "a wrong answer, or a failed request"
    assert set(results[since + 50 :]) == {"hit-semantic"}, "hits did not come back"
    until(lambda: len(replicas()) == 1)
    until(all_hit)
    client.close()
    assert "semantic cache: snapshot used" in logged()
