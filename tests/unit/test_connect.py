"""Looking a name up and connecting, without a program around it."""

import socket
import threading
import time
from typing import Any

import pytest

from app.client import try_once
from app.config import ClientConfig, Environment
from app.exchange import Failed, Lookup, connect
from tests.lib.peers import deaf, own_address, refused, reset
from tests.lib.support import PATIENCE, linux_only

ADDRESS = "127.0.0.1"


def later() -> float:
    """Return a moment that only a failing test reaches."""
    return time.monotonic() + PATIENCE


def failure(host: str, port: int, lookup: Lookup) -> Failed:
    """Fail to connect."""
    with pytest.raises(Failed) as failed:
        connect(host, port, later(), lookup)
    return failed.value


class NameServer:
    """Stands in for getaddrinfo: answers with these addresses, once it is allowed to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.asked: list[tuple[object, object]] = []
        self.may_answer = threading.Event()
        self.addresses = addresses
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(
        self, host: object, _port: object, family: object, *_: object
    ) -> list[tuple[object, ...]]:
        self.asked.append((host, family))
        self.may_answer.wait(PATIENCE)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, 0)) for address in self.addresses]


def test_an_address_is_never_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dotted quad needs no name server."""
    name_server = NameServer(monkeypatch, ADDRESS)

    assert Lookup().addresses("127.0.0.3", later()) == ["127.0.0.3"]
    assert not name_server.asked


def test_a_name_is_looked_up_again_for_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt uses no answer that came before it began; only IPv4 is asked for."""
    name_server = NameServer(monkeypatch, "127.0.0.9")
    lookup = Lookup()
    with pytest.raises(TimeoutError):
        lookup.addresses("server", time.monotonic() + 0.01)
    name_server.may_answer.set()
    (running,) = [thread for thread in threading.enumerate() if thread.daemon]
    running.join(PATIENCE)  # so this answer came between two attempts
    name_server.addresses = (ADDRESS,)

    for _ in range(2):
        assert lookup.addresses("server", later()) == [ADDRESS]
    assert name_server.asked == [(b"server", socket.AF_INET)] * 3


def test_one_look_up_is_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a name server is silent, attempts end in time and join the one look-up there is."""
    name_server = NameServer(monkeypatch, ADDRESS)
    lookup = Lookup()

    for _ in range(3):
        with pytest.raises(TimeoutError):
            lookup.addresses("server", time.monotonic() + 0.05)
    assert len(name_server.asked) == 1
    name_server.may_answer.set()
    assert lookup.addresses("server", later()) == [ADDRESS]
    assert len(name_server.asked) == 1


def test_a_look_up_that_fails_can_be_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address, or a thread to ask for it, there is a reason, and a next time."""
    lookup = Lookup()

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        without_thread = failure("server", 1, lookup)
    NameServer(monkeypatch).may_answer.set()
    without_address = failure("server", 1, lookup)
    NameServer(monkeypatch, ADDRESS).may_answer.set()

    assert without_thread.status == without_address.status == ("unresolved", 68)
    assert "can't start new thread" in str(without_thread)
    assert "not known" in str(without_address)
    assert lookup.addresses("server", later()) == [ADDRESS]


def test_a_name_without_an_ipv4_address_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure for a name that has only IPv6 addresses says that an IPv4 address is missing."""

    def look_up(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NODATA, "No address associated with hostname")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    failed = failure("server", 1, Lookup())

    assert (failed.status, failed.cause) == (("unresolved", 68), "EAI_NODATA")
    assert "no IPv4 address" in str(failed)


@linux_only  # elsewhere loopback has one address
def test_the_addresses_of_a_name_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an address that refuses nor one that is deaf keeps the client from the next."""
    host = own_address()
    with deaf() as (deaf_host, port), socket.create_server((host, port)) as listener:
        NameServer(monkeypatch, own_address(), deaf_host, host).may_answer.set()
        began = time.monotonic()
        with connect("server", port, began + 0.6, Lookup()) as sock:
            assert sock.getpeername() == listener.getsockname()
        # Those that were left shared the time that there was: the deaf one has half of it.
        assert 0.3 <= time.monotonic() - began < 0.54


def test_a_name_never_leads_to_the_client_s_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.0.0.0, which name servers give for hosts that they block, is no server's address."""
    with socket.create_server((ADDRESS, 0)) as listener:
        NameServer(monkeypatch, "0.0.0.0").may_answer.set()
        failed = failure("server", listener.getsockname()[1], Lookup())

    assert (failed.status, failed.cause) == (("unavailable", 69), "EADDRNOTAVAIL")


def test_a_client_never_takes_itself_for_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the very port that it connects to, a socket meets itself: that is no server."""

    class Unlucky(socket.socket):
        """A socket to which the system gives the port that it is about to connect to."""

        def connect(self, address: Any) -> None:
            self.bind(address)
            super().connect(address)

    with refused() as address:
        pass
    monkeypatch.setattr(socket, "socket", Unlucky)

    assert failure(*address, Lookup()).status == ("unavailable", 69)


def test_a_reset_before_the_first_look_is_a_closed_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that is reset before the client has asked for its address is a failure."""
    with socket.create_server((own_address(), 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        reset(listener.accept()[0])
        monkeypatch.setattr("app.client.connect", lambda *_: sock)

        attempt = try_once(ClientConfig(Environment({})), Lookup(), later())
    assert attempt.failure
    assert attempt.failure.status == ("closed", 74)
