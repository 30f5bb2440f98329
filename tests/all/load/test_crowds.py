"""More clients than the server has room for."""

import re
import resource
import socket
import time
from contextlib import ExitStack

import pytest

from tests.lib.peers import MESSAGE, REPLY, exchange, own_address, receive
from tests.lib.programs import Server
from tests.lib.support import PATIENCE, linux_only

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("load"), linux_only]

WAVE = 100  # silent clients before each exchange of the ordinary client
QUIET = 2.0  # seconds


def time_of_exchanges(server: Server, count: int = 1) -> float:
    """Make exchanges as an ordinary client, each on a new connection; return the longest time."""
    longest = 0.0
    for _ in range(count):
        began = time.monotonic()
        with socket.socket() as sock:
            sock.bind((own_address(), 0))
            # Connects and sends in one system call. Between two calls this process may wait for
            # the CPU: then this client is silent and may be closed to make room.
            sock.sendto(MESSAGE, socket.MSG_FASTOPEN, server.address)
            sock.settimeout(PATIENCE)
            assert receive(sock, len(REPLY)) == REPLY
        longest = max(longest, time.monotonic() - began)
    return longest


def test_silent_clients_do_not_keep_others_out() -> None:
    """A crowd of 10,000 silent clients does not delay an ordinary client."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 12_000:
        pytest.skip(f"12,000 file descriptors are needed, and only {hard} allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Server(MAX_CONNECTIONS="1000") as server:
        began = time.monotonic()
        server.wait_for("listening")
        own = server.usage.num_fds()
        with ExitStack() as crowd:
            for _ in range(10_000 // WAVE):
                for _ in range(WAVE):
                    crowd.enter_context(server.connect())
                # Clients are accepted in order: after this exchange the backlog is empty.
                assert time_of_exchanges(server) < 1
            assert server.usage.num_fds() - own <= 1000
            used = sum(server.usage.cpu_times())
            time.sleep(QUIET)  # the time that is measured
            assert sum(server.usage.cpu_times()) - used < 0.01 * QUIET

            assert time_of_exchanges(server, 200) < 1

        with ExitStack() as stack:
            # One by one: clients of the crowd may still be leaving while these connect.
            kept = [stack.enter_context(server.connect()) for _ in range(1000)]
            for sock in kept * 2:
                exchange(sock)

        lines = re.findall(r"^\S+:(\S+)Z (?!INFO \S+: Testando)", server.stop().stderr, re.M)
        assert len(lines) < 2 * (time.monotonic() - began)
