"""Clients act in any order, and a model predicts what each client must see.

If the server or the kernel has a choice (how much of a large reply it takes, how much it reads at
once), the model has bounds. The log at DEBUG names each connection that ends, and the reason. The
test checks that the model allows this end, that the client sees it, and that the summary counts it.
"""

import math
import os
import re
import signal
import socket
import sys
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.server import ACCEPT_BATCH
from tests.lib.peers import HEALTH_ADDRESS, MESSAGE, name, own_address, reset, unacknowledged
from tests.lib.programs import Server
from tests.lib.support import PATIENCE, until

pytestmark = pytest.mark.xdist_group("load")

SECONDS = os.environ.get("SOAK_SECONDS")
ROOM = 4  # connections
IDLE = 0.1  # seconds
SMALL, LARGE = "SERVER OK - STATUS 200", "".join(f"{number:08x}" for number in range(8192))
KERNEL = 50_000  # bytes: more than it takes for a client that does not read
CLIENTS = st.integers(0, 11)
ACCEPTED = re.compile(r"DEBUG (\S+) connected")
ENDED = re.compile(r"DEBUG (\S+) (idle|evicted|failed|reset|closed by the peer|stopped)")
# These must occur, or the test has not checked them.
CASES = {"idle", "evicted", "failed", "reset", "closed by the peer", "stopped", "torn"}
CASES |= {"read as one", "caught up", "only one to evict", "health check evicted", "not accepted"}
CASES |= {"answered at the stop", "sent to its end at the stop", "stopped at once"}


class Client:
    """The model of one connection. A step is one action of a client or on the server."""

    def __init__(self, sock: socket.socket, reply: bytes, began: float, step: int) -> None:
        self.sock, self.name, self.reply = sock, name(sock), reply
        self.counts = not self.name.startswith(HEALTH_ADDRESS)
        self.received = self.least = self.most = 0  # bytes; then bounds for its number of replies
        self.active_at = began  # at the earliest
        self.first, self.last = step, step  # the last byte moved between these steps
        self.half_closed = self.gone = self.late = False
        self.how = ""  # the way it ended: "end" or "reset"
        self.may_be = {"idle", "evicted"}

    @property
    def is_settled(self) -> bool:
        """Whether each message has its reply, and each reply is read."""
        return self.received == self.most * len(self.reply)

    @property
    def is_sure(self) -> bool:
        """Whether a running server has sent all replies: they are small, or already read."""
        return self.is_settled or len(self.reply) < 100

    def read(self, size: float = math.inf) -> None:
        """Read this many bytes of replies, or fewer if the connection ends."""
        while size and not self.how:
            try:
                data = self.sock.recv(int(min(size, 65536)))
            except ConnectionResetError:
                self.how = "reset"
                return
            start = self.received % len(self.reply)
            assert (self.reply * (len(data) // len(self.reply) + 2))[start:].startswith(data)
            self.received += len(data)
            size -= len(data)
            self.how = "" if data else "end"

    def say(self, messages: list[bytes], step: int, idle: float, frozen: float) -> None:
        """Send messages; the server may read several messages as one chunk.

        ``frozen`` is the time at which the server was suspended, or 0.
        """
        began, was_settled, was_sure = time.monotonic(), self.is_settled, self.is_sure
        # A running server has read the previous message if only its reply is left to send.
        alone = was_sure or self.received >= (self.most - 1) * len(self.reply)
        is_another = was_settled or (alone and self.least == self.most and not frozen)
        for message in messages:
            self.most += 1
            with suppress(ConnectionError):  # it has just become idle
                self.sock.sendall(message)
        # It may have become idle before, but not while the server is suspended.
        self.late = (frozen or time.monotonic()) >= self.active_at + idle
        self.least += is_another and not self.late
        if was_settled and not self.late:
            self.active_at = began
        self.first, self.last = step if was_sure else self.first, step


class AnyOrder(RuleBasedStateMachine):
    """A server with little room, and its clients."""

    def __init__(self, seen: Counter[str]) -> None:
        super().__init__()
        self.seen, self.why = seen, Counter[str]()
        self.open: dict[str, Client] = {}
        self.closed: list[Client] = []
        self.accepted: set[str] = set()
        self.lines = self.step = self.frozen_at = 0  # frozen since this step, if it is not 0
        self.frozen_since = 0.0

    @initialize(
        is_large=st.booleans(),  # not the reply itself, which would make a failure's report long
        idle=st.sampled_from([0, 0, IDLE]),
        stop=st.sampled_from(["in order", "after standing still", "at once"]),
    )
    def start(self, is_large: bool, idle: float, stop: str) -> None:
        reply = LARGE if is_large else SMALL
        self.reply, self.idle = reply.encode(), idle or math.inf
        self.stands_still, self.at_once = stop == "after standing still", stop == "at once"
        limits = {"MAX_CONNECTIONS": str(ROOM), "IDLE_TIMEOUT": str(idle), "DRAIN_TIMEOUT": "60"}
        self.server = Server(REPLY=reply, LOG_LEVEL="DEBUG", **limits)
        self.server.wait_for("listening")

    def say(self, client: Client, messages: list[bytes]) -> None:
        client.say(messages, self.step, self.idle, self.frozen_since)

    def pick(self, which: int, *, writes: bool = False, settled: bool = False) -> Client:
        """Return one of the open clients, or a new client if none is open.

        ``which`` is a number, because hypothesis must not draw by which clients have become idle.
        """
        there = [
            client
            for client in self.open.values()
            if not client.gone
            and not (writes and client.half_closed)
            and (client.is_settled or not settled)
        ]
        return there[which % len(there)] if there else self.new_client()

    def new_client(self, source: str = "") -> Client:
        sock = socket.socket()
        # A small buffer, and segments as on a wire: a segment of 64 KiB would wait for room.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        sock.settimeout(PATIENCE)
        sock.bind((source or own_address(), 0))
        began = time.monotonic()
        sock.connect(self.server.address)
        client = self.open[name(sock)] = Client(sock, self.reply, began, self.step)
        if self.frozen_at:
            client.may_be.add("not accepted")
        self.settle()
        return client

    @rule(source=st.sampled_from(["", "", HEALTH_ADDRESS]))
    def connect(self, source: str) -> None:
        self.new_client(source)

    @rule(
        which=CLIENTS,
        messages=st.lists(st.sampled_from([MESSAGE, MESSAGE[:3]]), min_size=1, max_size=3),
        apart=st.booleans(),
        reads=st.booleans(),
    )
    def send(self, which: int, messages: list[bytes], apart: bool, reads: bool) -> None:
        """Send messages or parts of messages; then read the replies that are due, or nothing."""
        client = self.pick(which, writes=True, settled=reads)
        for some in [[message] for message in messages] if apart else [messages]:
            self.say(client, some)
            self.settle()
        if reads and not self.frozen_at:
            self.read(client, math.inf)

    @precondition(lambda self: not self.frozen_at)
    @rule(which=CLIENTS, size=st.integers(1, 65536))
    def read_a_little(self, which: int, size: int) -> None:
        self.read(self.pick(which), size)

    def read(self, client: Client, size: float) -> None:
        due = client.least * len(self.reply) - client.received
        if not client.is_sure:
            client.last = self.step
        client.read(max(0, min(size, due)))
        self.seen["caught up"] += client.is_settled and due > KERNEL

    @rule(which=CLIENTS, reads=st.booleans())
    def half_close(self, which: int, reads: bool) -> None:
        """Shut the connection down for writing; then read until its end, or nothing."""
        client = self.pick(which, writes=True)
        client.may_be.add("closed by the peer")
        client.half_closed = True
        with suppress(OSError):  # it has just become idle
            client.sock.shutdown(socket.SHUT_WR)
        if reads and not self.frozen_at:
            client.read()

    @rule(which=CLIENTS, resets=st.booleans())
    def leave(self, which: int, resets: bool) -> None:
        client = self.pick(which)
        client.gone = True
        if client.is_settled and resets:
            client.may_be.add("reset" if client.most else "failed")
        elif client.is_settled:
            client.may_be.add("closed by the peer")
        else:  # with unread replies, close(2) resets too
            client.may_be |= {"reset"} if resets else {"reset", "closed by the peer"}
            if self.frozen_at or not client.is_sure:
                client.may_be.add("failed")
        (reset if resets else socket.socket.close)(client.sock)

    @rule()
    def freeze_or_thaw(self) -> None:
        if not self.frozen_at:
            self.server.freeze()
            self.frozen_at, self.frozen_since = self.step, time.monotonic()
            return
        self.server.thaw()
        for client in self.open.values():
            if client.last >= self.frozen_at:
                client.last = self.step  # the server now reads pending input
        self.frozen_at, self.frozen_since = 0, 0.0

    @precondition(lambda self: self.idle < math.inf)
    @rule(which=CLIENTS, stands_still=st.booleans())
    def let_time_pass(self, which: int, stands_still: bool) -> None:
        """Let silent clients become idle; if the server is suspended, one client sends first."""
        if not (self.frozen_at or stands_still):
            until(self.settle, is_right=lambda _: not self.open)
            return
        client = self.pick(which, writes=True)
        if not self.frozen_at:
            self.freeze_or_thaw()
        self.say(client, [MESSAGE])
        time.sleep(IDLE)
        self.freeze_or_thaw()

    @invariant()
    def settle(self) -> None:
        """Wait until a running server has nothing left to do, and check what it did."""
        self.step += 1
        if not self.frozen_at:
            # A busy machine may be slow to deliver even what this socket has taken.
            until(
                self.look, is_right=lambda there: not any(map(self.is_on_its_way, there)), pause=0
            )
            until(self.server.usage.status, is_right=psutil.STATUS_SLEEPING.__eq__, pause=0)
            for client in until(self.look, is_right=self.is_done):
                client.may_be.discard("not accepted")

    def is_on_its_way(self, client: Client) -> bool:
        """Tell whether a connection, or data sent on it, has not yet reached the server."""
        if client.gone or client.how:
            return False
        return client.name not in self.accepted or unacknowledged(client.sock)

    def is_done(self, there: list[Client]) -> bool:
        """Tell whether no connection that must end is left, and the others are within the limit."""
        left = (one.gone or one.how or (one.half_closed and one.is_sure) for one in there)
        # One more, if one of them is a health check.
        room = ROOM + any(not one.counts for one in there)
        return len(there) <= room and not any(left)

    def look(self) -> list[Client]:
        """Compare each new end in the log with the model; return the clients that are left."""
        lines = self.server.log[self.lines :]
        self.lines += len(lines)
        self.accepted.update(found[1] for found in filter(None, map(ACCEPTED.fullmatch, lines)))
        for found in filter(None, map(ENDED.fullmatch, lines)):
            self.end(self.open[found[1]], found[2])
            self.closed.append(self.open.pop(found[1]))
        return [*self.open.values()]

    def end(self, client: Client, why: str) -> None:
        assert why in client.may_be
        assert why != "idle" or time.monotonic() >= client.active_at + self.idle
        if why == "evicted":
            latest = {one: one.last if one.is_sure else math.inf for one in self.open.values()}
            others = [one for one in latest if one is not client]
            assert len(others) >= ROOM
            assert all(latest[other] >= client.first for other in others)
            self.seen["health check evicted"] += not client.counts
            self.seen["only one to evict"] += all(latest[client] < one.first for one in others)
        whole = (client.is_sure and not client.late) or why == "closed by the peer"
        if not client.gone:
            client.read()
            replies, torn = divmod(client.received, len(self.reply))
            assert replies + bool(torn) <= client.most
            assert not whole or (client.how == "end" and not torn and replies >= client.least)
            self.seen["torn"] += bool(torn)
            self.seen["read as one"] += whole and replies < client.most
        self.seen[why] += 1
        self.why[why] += client.counts

    def teardown(self) -> None:
        try:
            if not sys.exc_info()[1]:
                self.stop()
        finally:
            for client in [*self.open.values(), *self.closed]:
                client.sock.close()
            self.server.__exit__(*sys.exc_info())

    def stop(self) -> None:
        """Stop the server in any state. Its clients read the rest, unless it stops at once."""
        if self.stands_still and not self.frozen_at:
            self.freeze_or_thaw()
            for _ in range(ACCEPT_BATCH + 1):
                self.say(self.new_client(), [MESSAGE])
            # This client would be evicted, unless the server reads its message first.
            self.say(self.pick(0, writes=True, settled=True), [MESSAGE])
        elif not self.frozen_at:
            self.send(0, [MESSAGE] * 8, apart=True, reads=False)
        for client in self.open.values():
            if not client.is_sure:  # messages behind a pending reply get no reply
                client.least = min(client.least, client.received // len(self.reply) + 1)
        for number in (signal.SIGTERM, signal.SIGINT)[: 1 + self.at_once]:
            self.server.signal(number)
        if was_frozen := self.frozen_at > 0:
            self.freeze_or_thaw()
        for client in self.open.values():
            client.may_be |= {"stopped", "failed"} if self.at_once else {"closed by the peer"}
            client.may_be |= set() if client.most else {"stopped"}  # a stop does not wait for these
            client.late |= self.at_once and was_frozen
            if not (self.at_once or client.gone):
                if not client.is_sure:
                    client.last = self.step
                before = client.received
                client.read()
                client.sock.close()
                if client.how == "end":
                    self.seen["answered at the stop"] += was_frozen and client.least > 0 == before
                    self.seen["sent to its end at the stop"] += client.received - before > KERNEL
        outcome = self.server.outcome()
        assert (outcome.exit_code, outcome.stdout) == (0, "")
        for client in self.look():
            assert "not accepted" in client.may_be
            if not client.gone:
                client.read()
                assert (client.how, client.received) == ("reset", 0)
            self.seen["not accepted"] += 1
        self.seen["stopped at once"] += self.at_once
        counted = [client for client in self.closed if client.counts]
        least = [client.received // len(self.reply) for client in counted]
        most = [n if one.how == "end" else one.most for n, one in zip(least, counted, strict=True)]
        ends = " ".join(f"{why}={self.why[why]}" for why in ("idle", "evicted", "failed"))
        summary = rf"INFO stopped: connections={len(counted)} replies=(\d+) {ends}"
        found = re.fullmatch(summary, self.server.log[-1])
        assert found, f"{self.server.log[-1]} instead of {summary}"
        assert sum(least) <= int(found[1]) <= sum(most)


@pytest.mark.slow
@pytest.mark.timeout(float(SECONDS or 20) * 5 + 100)
def test_client_sees_what_the_model_predicts() -> None:
    """Each client sees what the model predicts, in any order of events."""
    seen: Counter[str] = Counter()
    run_state_machine_as_test(
        lambda: AnyOrder(seen),  # type: ignore[arg-type] # a factory works too
        settings=settings(
            max_examples=int(3 * float(SECONDS or 20)),
            stateful_step_count=25,
            derandomize=not SECONDS,
            database=None,
            phases=[Phase.generate],  # to shrink a failure would take minutes
            suppress_health_check=[*HealthCheck],
        ),
    )
    assert not CASES - (+seen).keys(), seen
