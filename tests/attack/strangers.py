"""Owns the strangers: connections that say what an attack has them say, again and again, and come back when they are closed."""

import errno
import random
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from typing import Literal

import wire
from loopback import MANY, STRANGER, Address, unconnected

# However long it is left alone, a flood ends by itself after that many seconds.
LONGEST_FLOOD = 120.0

# How many connections a second are opened for the first time.
OPENED_PER_SECOND = 2_500

# Who has something to say says it at most that long after connecting: the server may soon end a connection that says nothing.
_SPEAKS_WITHIN = 0.2

_TICK = 0.02
_CHUNK = 65_536
_ENDED = select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP


@dataclass
class Cost:
    """What the flood has cost the attacker so far, for another process to read."""

    sent_bytes: "Synchronized[int]"
    opened: "Synchronized[int]"
    held: "Synchronized[int]"
    # How often those had something to say whose rate is declared.
    said: "Synchronized[int]"


class Stranger:
    """One connection of a flood, and what it must know to go on."""

    def __init__(self, number: int, source: str) -> None:
        self.number, self.source = number, source
        # When it says its next, and how long before that it connects.
        self.due, self.comes_before = 0.0, random.random() * _SPEAKS_WITHIN
        self.forget()

    def forget(self) -> None:
        """For a new connection."""
        self.socket: socket.socket | None = None
        self.pending = memoryview(b"")
        self.is_open = False
        self._stream = -1
        # For the attack's own use: what it has sent on each stream, and whether it has nothing to say until calls have ended.
        self.sent: dict[int, int] = {}
        self.is_done = False
        # Its calls that the server has not ended yet, how many it has ended, and how many may be open. Only known of those that follow.
        self.calls: set[int] = set()
        self.ended = 0
        self.most_calls = wire.FEWEST_STREAMS
        self.frames: wire.FrameReader | None = None
        # What the server lets it send, over all streams.
        self.window = wire.DEFAULT_WINDOW

    def next_stream(self) -> int:
        self._stream += 2
        if self.frames:
            self.calls.add(self._stream)
        return self._stream

    def free_streams(self, most: int = wire.LARGEST_WINDOW) -> list[int]:
        """As many streams as it may still open, so that `most` are."""
        return self.streams(max(0, min(most, self.most_calls) - len(self.calls)))

    def streams(self, count: int) -> list[int]:
        return [self.next_stream() for _ in range(count)]


Says = Callable[[Stranger], bytes]


@dataclass(frozen=True)
class Strangers:
    """What a flood's connections do. This is all that most attacks are made of."""

    # Which of the server's addresses: grpc, http, authz or operations.
    to: str
    connections: int
    # What each says when it is connected; nothing, if it is silent.
    opening: Says = lambda stranger: b""
    # What it says after that, `every` so many seconds, or with 0 whenever the server has taken what was said before.
    again: Says | None = None
    every: float = 0.0
    # Whether it reads what the server says. Who does not, lets the server's answers pile up.
    reads: bool = True
    # Whether it follows what the server says of windows, and of how many calls may be open, so that `again` can keep to it.
    follows: bool = False
    # How much the system keeps for who does not read, in bytes.
    receive_buffer: int | None = None
    # Whether it cuts the connection (RST) as soon as its opening is said, or answered, and comes back.
    hangs_up: Literal["", "when said", "when answered"] = ""
    # How many of them a second come back, all together, after they were closed.
    come_back: int = 200
    # Whether all of them together say as much when there are more of them, coming from many addresses. Each is connected for as long as the
    # server lets it, and comes back when it has something to say.
    shares_rate: bool = False
    # How many there are if they come from many addresses; none: as many, but at least one from each.
    connections_of_many: int | None = None

    @property
    def rate(self) -> float:
        """How often a second all of them together say something, if that is declared."""
        return self.connections / self.every if self.shares_rate else 0.0


class Allowance:
    """What may happen so many times a second."""

    def __init__(self, each_second: int) -> None:
        self._each_second, self._left, self._last = each_second, 0.0, time.monotonic()

    def refill(self, now: float) -> None:
        earned = (now - self._last) * self._each_second
        self._left, self._last = min(self._left + earned, max(1.0, self._each_second / 5)), now

    def take(self) -> bool:
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Crowd:
    """The strangers of one kind."""

    def __init__(self, kind: Strangers, sources: tuple[str, ...]) -> None:
        self.kind = kind
        count = kind.connections
        if len(sources) > 1:
            count = kind.connections_of_many or max(count, len(sources))
        self.every = kind.every * (count / kind.connections if kind.shares_rate else 1)
        self.strangers = [Stranger(number, sources[number % len(sources)]) for number in range(count)]
        if kind.shares_rate:
            now = time.monotonic()
            for stranger in self.strangers:
                stranger.due = now + _SPEAKS_WITHIN + random.random() * self.every
        self.new = self.strangers[::-1]
        self.closed: list[Stranger] = []
        self.may_open = Allowance(OPENED_PER_SECOND)
        self.may_come_back = Allowance(kind.come_back)

    def next_of(self, waiting: list[Stranger], now: float) -> Stranger | None:
        """Who of those that are not connected comes next, if it is time."""
        if not self.kind.shares_rate:
            return waiting[-1]
        first = min(waiting, key=lambda stranger: stranger.due - stranger.comes_before)
        return first if now >= first.due - first.comes_before else None


class Flood:
    """Runs several kinds of strangers at once, in this thread."""

    def __init__(self, addresses: dict[str, Address], kinds: tuple[Strangers, ...], many: bool, cost: Cost) -> None:
        self._addresses, self._cost = addresses, cost
        self._poll = select.epoll()
        self._crowds = [Crowd(kind, MANY if many else (STRANGER,)) for kind in kinds]
        self._by_file: dict[int, tuple[Crowd, Stranger]] = {}

    def run(self, seconds: float = LONGEST_FLOOD) -> None:
        began, last = time.monotonic(), 0.0
        while (now := time.monotonic()) < began + min(seconds, LONGEST_FLOOD):
            if now - last >= _TICK:
                last = now
                for crowd in self._crowds:
                    self._open(crowd, now)
                    self._say_what_is_due(crowd, now)
            for file, events in self._poll.poll(_TICK):
                if file in self._by_file:
                    self._handle(*self._by_file[file], events)

    # ===== opening and closing =====

    def _open(self, crowd: Crowd, now: float) -> None:
        for waiting, allowance in ((crowd.new, crowd.may_open), (crowd.closed, crowd.may_come_back)):
            allowance.refill(now)
            while waiting and allowance.take():
                stranger = crowd.next_of(waiting, now)
                if not stranger or not self._connect(crowd, stranger):
                    break
                # Most often the last one, so look from there.
                waiting.pop(waiting.index(stranger) if waiting[-1] is not stranger else -1)

    def _connect(self, crowd: Crowd, stranger: Stranger) -> bool:
        """Whether it is on its way: there may be no more ports or files just now."""
        stranger.forget()
        to = self._addresses[crowd.kind.to]
        try:
            made = unconnected(stranger.source)
        except OSError:
            return False
        made.setblocking(False)
        if crowd.kind.receive_buffer:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, crowd.kind.receive_buffer)
        if made.connect_ex((to.host, to.port)) not in (0, errno.EINPROGRESS):
            made.close()
            return False
        stranger.socket = made
        self._by_file[made.fileno()] = (crowd, stranger)
        self._poll.register(made, select.EPOLLOUT)
        return True

    def _connected(self, crowd: Crowd, stranger: Stranger) -> None:
        stranger.is_open = True
        if not crowd.kind.shares_rate:
            stranger.due = time.monotonic() + random.random() * min(crowd.every, _SPEAKS_WITHIN)
        stranger.frames = wire.FrameReader() if crowd.kind.follows else None
        self._cost.opened.value += 1
        self._cost.held.value += 1
        stranger.pending = memoryview(crowd.kind.opening(stranger))
        self._send(crowd, stranger)

    def _close(self, crowd: Crowd, stranger: Stranger) -> None:
        if stranger.socket is None:
            return
        del self._by_file[stranger.socket.fileno()]
        stranger.socket.close()
        stranger.socket = None
        if stranger.is_open:
            self._cost.held.value -= 1
        stranger.is_open = False
        crowd.closed.append(stranger)

    # ===== saying and hearing =====

    def _say_what_is_due(self, crowd: Crowd, now: float) -> None:
        if not (crowd.kind.again and crowd.kind.every):
            return
        for stranger in crowd.strangers:
            if not stranger.is_open or now < stranger.due or stranger.pending and not crowd.kind.shares_rate:
                continue
            stranger.due = now + crowd.every
            # What the server did not take in time counts as well: that is its own doing.
            self._cost.said.value += 1 if crowd.kind.shares_rate else 0
            if not stranger.pending:
                self._say(crowd, stranger)

    def _say(self, crowd: Crowd, stranger: Stranger) -> None:
        assert crowd.kind.again
        stranger.pending = memoryview(crowd.kind.again(stranger))
        self._send(crowd, stranger)

    def _handle(self, crowd: Crowd, stranger: Stranger, events: int) -> None:
        if not stranger.is_open:
            if events & _ENDED:
                self._close(crowd, stranger)
            else:
                self._connected(crowd, stranger)
            return
        if events & select.EPOLLIN and not self._read(crowd, stranger):
            return
        if events & _ENDED:
            self._close(crowd, stranger)
        elif events & select.EPOLLOUT:
            if not stranger.pending and crowd.kind.again and not crowd.kind.every:
                self._say(crowd, stranger)
            else:
                self._send(crowd, stranger)

    def _send(self, crowd: Crowd, stranger: Stranger) -> None:
        assert stranger.socket
        try:
            while stranger.pending:
                sent = stranger.socket.send(stranger.pending[:_CHUNK])
                self._cost.sent_bytes.value += sent
                stranger.pending = stranger.pending[sent:]
        except BlockingIOError:
            pass
        except OSError:
            self._close(crowd, stranger)
            return
        if crowd.kind.hangs_up == "when said" and not stranger.pending:
            self._hang_up(crowd, stranger)
        else:
            self._wait(crowd, stranger)

    def _hang_up(self, crowd: Crowd, stranger: Stranger) -> None:
        assert stranger.socket
        stranger.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close(crowd, stranger)

    def _wait(self, crowd: Crowd, stranger: Stranger) -> None:
        """Has the system tell what comes next for the connection; that it has ended is told in any case."""
        kind = crowd.kind
        fits = not kind.follows or stranger.window > 0
        may_say = kind.again is not None and not kind.every and fits and not stranger.is_done
        events = (select.EPOLLIN if kind.reads else 0) | (select.EPOLLOUT if stranger.pending or may_say else 0)
        assert stranger.socket
        self._poll.modify(stranger.socket, events | select.EPOLLRDHUP)

    def _read(self, crowd: Crowd, stranger: Stranger) -> bool:
        """Whether the connection is still open."""
        assert stranger.socket
        try:
            data = stranger.socket.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self._close(crowd, stranger)
            return False
        if crowd.kind.hangs_up == "when answered":
            self._hang_up(crowd, stranger)
            return False
        if stranger.frames:
            _follow_windows(stranger, stranger.frames, data)
            self._wait(crowd, stranger)
        return True


def _follow_windows(stranger: Stranger, frames: wire.FrameReader, data: bytes) -> None:
    for kind, flags, stream, payload in frames.feed(data):
        if kind == wire.WINDOW_UPDATE and stream == 0:
            stranger.window += int.from_bytes(payload)
        elif kind == wire.RST_STREAM or kind in (wire.DATA, wire.HEADERS) and flags & wire.END_STREAM:
            if stream in stranger.calls:
                stranger.calls.remove(stream)
                stranger.ended += 1
                stranger.is_done = False
        elif kind == wire.SETTINGS and not flags & wire.ACK:
            for at in range(0, len(payload), 6):
                setting, value = int.from_bytes(payload[at : at + 2]), int.from_bytes(payload[at + 2 : at + 6])
                if setting == wire.MAX_CONCURRENT_STREAMS:
                    stranger.most_calls = value
                    stranger.is_done = False
