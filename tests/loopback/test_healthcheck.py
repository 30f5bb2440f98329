"""The health check against our server, and against unhealthy peers."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import pytest

from app import healthcheck
from tests.lib.peers import HEALTH_ADDRESS, Address, listening, receive, refused, reset
from tests.lib.programs import Program, Server
from tests.lib.support import linux_only

pytestmark = linux_only  # elsewhere 127.8.8.8 must be set up first


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_health_check_leaves_no_trace(host: str) -> None:
    """A successful health check prints nothing, and leaves no trace in the server's log.

    A check that is closed as idle, or that resets, leaves no trace either.
    """
    with Server(HOST=host, IDLE_TIMEOUT="0.5") as server:
        reset(server.connect(HEALTH_ADDRESS))
        assert receive(server.connect(HEALTH_ADDRESS)) == b""
        env = {"HOST": host, "PORT": str(server.address[1])}
        with Program("healthcheck", env) as program:
            assert program.outcome() == (0, "", "")
        server.stop()

        no_trace = "INFO stopped: connections=0 replies=0 idle=0 evicted=0 failed=0"
        assert server.log == [f"INFO listening on {host}:{server.address[1]}", no_trace]


UNHEALTHY: dict[str, Callable[[], AbstractContextManager[Address]]] = {
    "answering otherwise": partial(listening, lambda sock: sock.sendall(b"SERVER KO - STATUS 500")),
    "silent": partial(listening, receive),
    "refusing": refused,
}


@pytest.mark.parametrize("peer", UNHEALTHY)
def test_open_port_is_not_healthy(peer: str) -> None:
    """A health check without the expected reply in 3 s ends with 1 and one line with the reason."""
    assert healthcheck.SECONDS == 3
    with UNHEALTHY[peer]() as (host, port):
        env = {"HOST": host, "PORT": str(port)}
        with Program("healthcheck", env, before="program.SECONDS = 0.2") as program:
            exit_code, stdout, stderr = program.outcome()

    assert (exit_code, stdout, stderr.count("\n")) == (1, "", 1)
    assert peer != "silent" or "timed out after 0 of 22 bytes" in stderr
