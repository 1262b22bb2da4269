"""Requests on their way to a provider, so that what asks the same meanwhile is not sent a second time. For one event loop.

Who leads sends its request and passes the answer to a `Flight`. Who wants the whole answer waits until it is over and looks where
answers are kept; who wants it streamed is shown what has passed so far, then the rest as it comes. What must hold:
- A stream is shown to others only once its first event begins an answer: never an error, nor what its provider calls `no-store`.
- As long as one of them waits, the request goes on, whether the client of who leads is there or not.
- Of an answer at most LIMIT bytes are held. A longer one takes nobody in any more; the provider waits for the fastest reader, and
  who falls so far behind the fastest is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from starlette.types import Message, Send

from headroom.cache.exact import MAX_ANSWER_BYTES, STREAM, Told, may_be_kept
from headroom.dialects.answers import AnswerForm
from headroom.encodings import Decoder
from headroom.errors import HeadroomError
from headroom.proxy.relay import UpstreamBroke
from headroom.sse import EventReader

LIMIT = MAX_ANSWER_BYTES
_DECODED_BYTES = 200_000_000  # of one answer
Show = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer is kept, and in which words a stream of it is told; no words for a whole one."""

    scope: str
    key: str
    stream: str = ""


class Flight:
    """One request on its way. A `Send` for who leads; `send` is its client's. `shared`: streamed to others who want the same."""

    def __init__(self, send: Send, form: AnswerForm, *, shared: bool) -> None:
        self._send = send
        self._form = form
        self._shared = shared
        self._status = 0
        self._headers: dict[str, str] = {}
        self._start: Message | None = None
        self._held = bytearray()  # the last bytes of the answer, as they came
        self._passed = 0  # bytes of the answer that are not held any more
        self._complete = False
        self._over = False
        self._begins: bool | None = None if shared else False  # whether it begins as an answer that others may be shown
        self._events = EventReader()
        self._decoder: Decoder | None = None
        self._waiting = 0  # who wants this besides who leads
        self._readers: dict[object, int] = {}  # how far each is
        self._own: asyncio.Task[None] | None = None  # shows it to the client of who leads
        self._deserted = False
        self._news, self._moved = asyncio.Event(), asyncio.Event()

    async def __call__(self, message: Message) -> None:
        if not (self._shared or self._deserted):
            await self._send(message)
        size = len(message.get("body", b""))
        while self._end > self._foremost and self._end + size > self._foremost + LIMIT:
            await self._moved.wait()
        self._note(message)
        self._news = _woken(self._news)

    @asynccontextmanager
    async def relayed(self) -> AsyncIterator[None]:
        """Around the request and what is done with its answer: its client is shown all that came before this ends."""
        if self._shared:
            self._readers[self] = 0
            self._own = asyncio.create_task(self._relay())
            self._own.add_done_callback(lambda _: self._leaves(self))
        try:
            yield
        except Exception:
            await self._until_relayed()
            raise
        else:
            await self._until_relayed()
            if self._own and not self._own.cancelled():
                self._own.result()
        finally:
            if self._own:
                self._own.cancel()
                await asyncio.gather(self._own, return_exceptions=True)

    async def _until_relayed(self) -> None:
        if self._own:
            await asyncio.wait({self._own})

    async def deserted(self) -> None:
        """The client of who leads is gone; returns when nobody else waits and nothing is to be kept, and takes nobody in any more."""
        self._deserted = True
        if self._own:
            self._own.cancel()
        while not self._over and (self._waiting or self._complete):
            await self._news.wait()
        self._begins = False

    def land(self) -> None:
        """There is nothing more to come."""
        self._over = True
        self._news = _woken(self._news)

    @property
    def told(self) -> Told | None:
        """What its client got, if it is complete and short enough to be kept."""
        whole = self._complete and not self._passed
        return Told(self._status, self._headers, bytes(self._held)) if whole else None

    async def over(self) -> None:
        """Returns when this is over, however it ended."""
        with self._waits():
            while not self._over:
                await self._news.wait()

    async def begun(self) -> bool:
        """Whether `show` shows all of a streamed answer; returns when that is known. It holds until the caller waits for something."""
        with self._waits():
            while self._begins is None and not self._over:
                await self._news.wait()
        return bool(self._begins) and not self._passed and (self._complete or not self._over)

    async def show(self, show: Show) -> None:
        """Show a streamed answer, decoded, from its beginning to its end. Raises UpstreamBroke where it has none."""
        encoding = self._headers.get("content-encoding", "")
        decoder = Decoder(encoding, _DECODED_BYTES) if encoding else None

        async def plain(data: bytes) -> None:
            try:
                data = decoder.feed(data) if decoder else data
            except HeadroomError as broken:
                raise UpstreamBroke(broken.message) from None
            if data:
                await show(data)

        reader = object()
        with self._waits():
            self._readers[reader] = 0
            try:
                await self._read(plain, reader)
            finally:
                self._leaves(reader)

    @property
    def _end(self) -> int:
        return self._passed + len(self._held)

    @property
    def _foremost(self) -> int:
        """How far the fastest reader is."""
        return max(self._readers.values(), default=self._end)

    def _note(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start, self._status = message, message["status"]
            self._headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]}
            self._opened()
            return
        data = message.get("body", b"")
        self._complete = not message.get("more_body", False)
        self._held += data
        if self._begins is None:
            self._begins = self._first(data)
        if len(self._held) > LIMIT:
            more = min(self._end - LIMIT, self._foremost) - self._passed if self._shared else len(self._held)
            self._passed += more
            del self._held[:more]

    def _opened(self) -> None:
        if not (may_be_kept(self._status, self._headers) and self._headers.get("content-type", "").startswith(STREAM)):
            self._begins = False
            return
        try:
            encoding = self._headers.get("content-encoding", "")
            self._decoder = Decoder(encoding, LIMIT) if encoding else None
        except HeadroomError:
            self._begins = False

    def _first(self, data: bytes) -> bool | None:
        """Whether the first event begins an answer; None while there is none."""
        try:
            for event in self._events.feed(self._decoder.feed(data) if self._decoder else data):
                return self._form.begins(event)
        except HeadroomError:
            return False
        return None

    async def _relay(self) -> None:
        """Show its client what came, as it came."""

        async def show(data: bytes) -> None:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

        while self._start is None and not self._over:
            await self._news.wait()
        if self._start:
            await self._send(self._start)
            await self._read(show, self)
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _read(self, show: Show, reader: object) -> None:
        at = 0
        while True:
            if at < self._passed:
                raise UpstreamBroke("a client reads so slowly that what it has not read is not held any more")
            if at < self._end:
                data = bytes(self._held[at - self._passed :])
                await show(data)
                self._readers[reader] = at = at + len(data)
                self._moved = _woken(self._moved)
            elif self._complete:
                return
            elif self._over:
                raise UpstreamBroke("the provider's answer, which another request was given too, broke off")
            else:
                await self._news.wait()

    def _leaves(self, reader: object) -> None:
        del self._readers[reader]
        self._moved = _woken(self._moved)

    @contextmanager
    def _waits(self) -> Iterator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._news = _woken(self._news)


class Flights:
    """What is on its way, by the places of its answer."""

    def __init__(self) -> None:
        self._aloft: dict[Place, Flight] = {}

    def at(self, place: Place) -> Flight | None:
        return self._aloft.get(place)

    @contextmanager
    def aloft(self, places: Sequence[Place], flight: Flight) -> Iterator[None]:
        """Others find it while this runs, where none was found before."""
        free = [place for place in places if place not in self._aloft]
        self._aloft |= dict.fromkeys(free, flight)
        try:
            yield
        finally:
            for place in free:
                del self._aloft[place]
            flight.land()


def _woken(event: asyncio.Event) -> asyncio.Event:
    """Wakes who waits; the event for what comes next."""
    event.set()
    return asyncio.Event()
