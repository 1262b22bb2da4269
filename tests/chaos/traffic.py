"""Conversations that go on while something breaks, streams that stay open meanwhile, and what became of each."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.provider import WAIT_S, Provider, Script
from tests.proxy.rollouts import Conversation

TALKERS = 6
KEY = {"x-api-key": "sk-ant-chaos-talkers"}
ADMIN = {"authorization": "Bearer operators-only"}
_TURNS = 4
_NUMBERS = itertools.count()  # no conversation comes twice: what became of one is remembered


@dataclass(slots=True)
class Sent:
    """One request. `reason` is why it went on uncompressed, or empty."""

    at: float
    id: str = ""
    error: str = ""
    reason: str = ""


@dataclass
class Report:
    """What a row of the table says; times in seconds since the fault."""

    fault: str
    talkers: int = TALKERS
    streams: int = 0
    cut: int = 0
    requests: int = 0
    failed: int = 0
    degraded: int = 0
    uncounted: int = 0
    broken_prefixes: int = 0
    recovered_s: float = 0.0
    errors: set[str] = field(default_factory=set)


class Traffic:
    """Talkers with one conversation after another; each answer is checked for what was asked. Starts with `streams` held open."""

    def __init__(self, url: str, provider: Provider, streams: int) -> None:
        self.sent: list[Sent] = []
        self.talks: list[Conversation] = []
        self._url, self._provider = url, provider
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._held: list[Future[str]] = []
        self._threads = ThreadPoolExecutor(TALKERS + streams)
        self._streams = streams
        self._talkers: list[Future[None]] = []

    def start(self) -> None:
        self._provider.always = Script(hold_after=2)
        self._held = [self._threads.submit(self._new().stream, self._url) for _ in range(self._streams)]
        self._provider.wait_until(lambda seen: len(seen.requests) >= self._streams)
        self._provider.always = Script()
        self._talkers = [self._threads.submit(self._talk) for _ in range(TALKERS)]
        self.go_on(20)

    def go_on(self, requests: int) -> None:
        """Until so many more are answered."""
        enough, until = len(self.sent) + requests, time.monotonic() + 3 * WAIT_S
        while len(self.sent) < enough:
            assert time.monotonic() < until, "the talkers hang"
            time.sleep(0.02)

    def end(self) -> int:
        """How many of the held streams were cut."""
        self._stop.set()
        self._provider.release()
        for talker in self._talkers:
            talker.result(3 * WAIT_S)
        whole = [self._whole(stream) for stream in self._held]
        self._threads.shutdown()
        return whole.count(False)

    def _whole(self, stream: Future[str]) -> bool:
        try:
            return Conversation.complete(stream.result(WAIT_S))
        except (httpx.HTTPError, AssertionError):
            return False

    def _new(self) -> Conversation:
        with self._lock:
            talk = Conversation(next(_NUMBERS), KEY)
            self.talks.append(talk)
        return talk

    def _talk(self) -> None:
        with httpx.Client(headers=KEY, timeout=WAIT_S) as client:
            while not self._stop.is_set():
                talk = self._new()
                for _ in range(_TURNS):
                    sent = self._one(client, talk)
                    self.sent.append(sent)
                    talk.go_on()
                    if sent.error:
                        self._stop.wait(0.2)

    def _one(self, client: httpx.Client, talk: Conversation) -> Sent:
        sent = Sent(time.monotonic())
        body = talk.body
        try:
            answer = client.post(f"{self._url}/v1/messages", json=body)
        except httpx.HTTPError as failure:
            sent.error = type(failure).__name__
            return sent
        sent.id = answer.headers.get("x-headroom-request-id", "")
        sent.reason = answer.headers.get("x-headroom-skip-reason", "")
        words = f"read {len(body['messages'])} messages"
        said = "".join(part.split('"')[0] for part in answer.text.split('"text": "')[1:])
        if answer.status_code != httpx.codes.OK or not talk.complete(answer.text) or words not in said:
            sent.error = f"{answer.status_code} {answer.text[:80]}"
        return sent


@contextmanager
def under(fault: str, url: str, provider: Provider, streams: int = 20) -> Iterator[tuple[Traffic, Report]]:
    """Traffic while the block breaks something; the report is whole when it has ended."""
    provider.reset()
    before = _counted(url)
    traffic, report = Traffic(url, provider, streams), Report(fault, streams=streams)
    traffic.start()
    struck = time.monotonic()
    yield traffic, report
    report.cut = traffic.end()
    answered = [sent for sent in traffic.sent if not sent.error]
    bad = [sent for sent in traffic.sent if sent.error]
    worse = [sent for sent in traffic.sent if sent.reason.startswith(("compressor_", "store_"))]
    report.requests, report.failed, report.degraded = len(traffic.sent), len(bad), len(worse)
    report.errors = {sent.error for sent in bad}
    report.recovered_s = max((sent.at - struck for sent in (*bad, *worse) if sent.at > struck), default=0.0)
    report.broken_prefixes = sum(_breaks(talk, provider) for talk in traffic.talks)
    report.uncounted = _uncounted(url, before + len(answered))


def _breaks(talk: Conversation, provider: Provider) -> bool:
    """Whether a turn forwarded other bytes than the turn before."""
    bodies = talk.forwarded(provider)
    return any(not later.startswith(earlier) for earlier, later in itertools.pairwise(bodies) if len(later) >= len(earlier))


def _counted(url: str) -> int:
    return int(httpx.get(f"{url}/stats", headers=ADMIN, timeout=WAIT_S).json()["requests"]["total"])


def _uncounted(url: str, answered: int) -> int:
    """Answered requests that the ledger does not have once it has stopped growing."""
    seen, until = -1, time.monotonic() + WAIT_S
    while time.monotonic() < until:
        now = _counted(url)
        if now >= answered or now == seen:
            break
        seen = now
        time.sleep(5)
    return max(0, answered - now)
