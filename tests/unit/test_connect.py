"""Name look-ups and connection attempts, as functions of app/exchange.py."""

import socket
import threading
import time
from typing import Any

import pytest

from app.exchange import Failed, Lookup, connect
from tests.lib.peers import deaf, own_address, refused
from tests.lib.support import PATIENCE, linux_only

ADDRESS = "127.0.0.1"


def later() -> float:
    """Return a deadline that only a failing test reaches."""
    return time.monotonic() + PATIENCE


def failure(host: str, port: int, lookup: Lookup) -> Failed:
    """Assert that connecting fails, and return the failure."""
    with pytest.raises(Failed) as failed:
        connect(host, port, later(), lookup)
    return failed.value


class NameServer:
    """A stand-in for getaddrinfo that returns these addresses once ``may_answer`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.queries = 0
        self.may_answer = threading.Event()
        self.addresses = addresses
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, *_: object) -> list[tuple[object, ...]]:
        self.queries += 1
        self.may_answer.wait(PATIENCE)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NODATA, "No address associated with hostname")
        return [(*(None,) * 4, (address, 0)) for address in self.addresses]


def test_attempt_joins_a_look_up_only_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt joins a look-up that is still running, but never uses an earlier answer."""
    name_server = NameServer(monkeypatch, "127.0.0.9")
    lookup = Lookup()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            lookup.addresses("server", time.monotonic() + 0.05)
    assert name_server.queries == 1
    name_server.may_answer.set()
    (running,) = [thread for thread in threading.enumerate() if thread.daemon]
    running.join(PATIENCE)  # the first look-up ends between two attempts
    name_server.addresses = (ADDRESS,)

    assert lookup.addresses("server", later()) == [ADDRESS]
    assert name_server.queries == 2


def test_failed_look_up_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without an IPv4 address, or a look-up without a thread, fails only this attempt.

    A duplicate address is returned once, and an IP address needs no look-up.
    """
    lookup = Lookup()

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        without_thread = failure("server", 1, lookup)
        assert lookup.addresses("127.0.0.3", later()) == ["127.0.0.3"]
    NameServer(monkeypatch).may_answer.set()
    without_address = failure("server", 1, lookup)
    NameServer(monkeypatch, ADDRESS, ADDRESS).may_answer.set()

    assert without_thread.status == without_address.status == ("unresolved", 68)
    assert "can't start new thread" in str(without_thread)
    assert without_address.cause == "EAI_NODATA"
    assert "no IPv4 address" in str(without_address)
    assert lookup.addresses("server", later()) == [ADDRESS]


@linux_only  # elsewhere loopback has one address
def test_addresses_of_a_name_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusing address and a silent address leave time for the third address of a name."""
    host = own_address()
    with deaf() as (deaf_host, port), socket.create_server((host, port)) as listener:
        NameServer(monkeypatch, own_address(), deaf_host, host).may_answer.set()
        with connect("server", port, time.monotonic() + 2, Lookup()) as sock:
            assert sock.getpeername() == listener.getsockname()


def test_address_0_0_0_0_gets_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client does not connect to 0.0.0.0, a name server's answer for a blocked host."""
    with socket.create_server((ADDRESS, 0)) as listener:
        NameServer(monkeypatch, "0.0.0.0").may_answer.set()
        failed = failure("server", listener.getsockname()[1], Lookup())

    assert (failed.status, failed.cause) == (("unavailable", 69), "EADDRNOTAVAIL")


def test_connection_to_itself_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that connects to itself, because it gets the server's port, counts as failed."""

    class Unlucky(socket.socket):
        """A socket whose local port is the port that it connects to."""

        def connect(self, address: Any) -> None:
            self.bind(address)
            super().connect(address)

    with refused() as address:
        pass
    monkeypatch.setattr(socket, "socket", Unlucky)

    assert failure(*address, Lookup()).status == ("unavailable", 69)
