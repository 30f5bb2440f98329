"""What each program goes through while one of its system calls fails, and what must come of it."""

import itertools
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from tests.lib.injection import SIGNAL, Fault, has_struck, strace
from tests.lib.peers import REPLY, Address, connect, listening, own_address, receive, receive_all
from tests.lib.programs import Program
from tests.lib.programs import client as start_client
from tests.lib.support import PATIENCE, until

# Without these a first run makes other calls before main than the next: its bytecode is written,
# and the home directory asked for.
ENVIRONMENT = {"HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"}
LONG_REPLY = b"x" * 65536


def ask(sock: socket.socket) -> None:
    """Send a byte, which the log escapes, and see that an answer begins."""
    sock.sendall(b"\n")
    if not sock.recv(1, socket.MSG_PEEK):
        raise ConnectionError("closed")


def read_reply(sock: socket.socket) -> None:
    """Read a whole reply."""
    if len(receive(sock, len(LONG_REPLY))) < len(LONG_REPLY):
        raise ConnectionError("closed")


def visit(address: Address) -> None:
    """Make one exchange."""
    with connect(address) as sock:
        ask(sock)
        read_reply(sock)


def stay(address: Address) -> Iterator[None]:
    """Be a slow client, that has a reply pending at each yield, until it has read the last."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE)
        sock.connect(address)
        for _ in range(2):
            ask(sock)
            yield
            read_reply(sock)
        assert receive_all(sock) == b""  # once the server stops


def server(fault: Fault | None, trace: Path) -> str:
    """Have a client that is idle, one that makes room for others, one with a reply pending."""
    address = own_address(), 8888  # not 0: the log, which would tell it, may fail
    env = {"HOST": address[0], "PORT": "8888", "REPLY": LONG_REPLY.decode()}
    env |= {"MAX_CONNECTIONS": "2", "IDLE_TIMEOUT": "2"} | ENVIRONMENT
    lost = 0
    with ExitStack() as silent, Program("server", env, prefix=strace(trace, fault)) as program:

        def arrive() -> socket.socket | None:
            with suppress(ConnectionError):
                return silent.enter_context(connect(address))
            return None

        first = until(arrive, is_right=lambda sock: sock or program.process.poll() is not None)
        if first and not fault:
            assert receive_all(first) == b""  # only here, because it takes its time
            arrive()

        def stop() -> None:
            # Where it has come as a fault, once must be enough.
            if not fault or fault.error != SIGNAL or not has_struck(trace, fault):
                program.signal(signal.SIGTERM)

        on, again = partial(next, stay(address), None), partial(visit, address)
        for step in (on, again, on, again, stop, on):
            try:
                step()
            except ConnectionError:
                lost += 1
        silent.close()
        outcome, log = program.outcome(), program.log
    assert outcome.stdout == ""
    assert all(line.split()[0] in ("INFO", "WARNING", "ERROR") for line in log), log
    if outcome.exit_code == 71:
        (line,) = [line for line in log if line.startswith("ERROR")]
        assert line.startswith("ERROR cannot listen on "), log
        return "says that it cannot listen and why, and ends with 71"
    assert outcome.exit_code == 0, (outcome.exit_code, log)
    if fault and fault.error == SIGNAL:
        assert "INFO stopped" in log[-1], log
        return "stops in order, with 0"
    assert lost <= 1, log
    return "answers all but one client" if lost else "answers all clients"


def client(host: str, fault: Fault | None, trace: Path) -> str:
    """Be closed once, then get the reply."""
    connections = itertools.count()

    def serve(sock: socket.socket) -> None:
        if next(connections) and sock.recv(100):
            sock.sendall(REPLY)

    with listening(serve, "127.0.0.1" if host else "") as (address, port):
        env = {"OUTPUT": "json", "DEADLINE": "3"} | ENVIRONMENT
        with start_client((host or address, port), prefix=strace(trace, fault), **env) as program:
            outcome, log = program.outcome(), program.log
    assert all(line.split()[0] in ("INFO", "WARNING", "ERROR") for line in log), log
    if fault and fault.call == "write" and not outcome.stdout:
        assert outcome.exit_code == 0
        assert any("ERROR cannot write the result" in line for line in log), log
        return "says that it cannot write the result and why, and ends with 0"
    result = outcome.json
    ended = result["status"], result["exit_code"]
    assert ended[1] == outcome.exit_code
    if host and ended == ("unresolved", 68):
        return "tries again, and ends with 68: `unresolved`"  # each attempt has its own thread
    assert ended == ("ok", 0), outcome
    failed = [line for line in log if "waiting for" in line and "Closed by the server" not in line]
    return f"{'tries again and ' if failed or result['attempts'] > 2 else ''}gets the reply"
