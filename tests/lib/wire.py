"""A client's host and a server's, as network namespaces, and the wire between them.

Each namespace lives as long as a process in it, which ends with its stdin, and so with the tests,
in whatever way they end. Links and firewall rules go with it.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from tests.lib.support import PATIENCE

WIRE = "198.18.0."  # RFC 2544 keeps 198.18.0.0/15 for tests
DELAY = Path(__file__).parent / "delay.py"
HOLD = "ip link set lo up && echo up && exec cat"


class Host:
    """A network namespace."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", HOLD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid
        # What runs in it must not outlive the tests either.
        self.prefix = (
            *("nsenter", f"--net=/proc/{self.pid}/ns/net"),
            *("setpriv", "--pdeathsig=KILL"),
        )

    def __enter__(self) -> Self:
        assert self._process.stdout
        assert self._process.stdout.readline() == b"up\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=PATIENCE)

    def run(self, commands: str) -> None:
        """Run commands of a shell in it, which must not fail."""
        subprocess.run([*self.prefix, "sh", "-ec", commands], check=True, timeout=PATIENCE)

    def block(self, rule: str) -> None:
        """Add a rule to its firewall, such as ``INPUT --jump DROP``, for TCP."""
        self.run(f"iptables --wait --protocol tcp --append {rule}")


class Wire(NamedTuple):
    """Both hosts, and the address of the server's."""

    client: Host
    server: Host
    address: str


@contextmanager
def wire(mtu: int = 1500, delay: float = 0) -> Iterator[Wire]:
    """Join two new hosts by a wire for packets up to a size, which take ``delay`` seconds."""
    with ExitStack() as stack:
        client, server = stack.enter_context(Host()), stack.enter_context(Host())
        if delay:
            stack.enter_context(long_wire(client, server, delay))
        else:
            client.run(f"ip link add wire type veth peer name wire netns {server.pid}")
        for number, host in enumerate((client, server), start=1):
            host.run(f"ip address add {WIRE}{number}/24 dev wire")
            # A segment at a time: this wire would carry many of them in one packet of 64 KiB.
            host.run(f"ip link set wire mtu {mtu} gso_max_segs 1 up")
        yield Wire(client, server, f"{WIRE}2")


@contextmanager
def long_wire(client: Host, server: Host, delay: float) -> Iterator[None]:
    """Join two hosts by a third, which delays what it carries: not every kernel has netem."""
    with Host() as middle:
        for name, host in (("client", client), ("server", server)):
            host.run(f"ip link add wire type veth peer name {name} netns {middle.pid}")
            middle.run(f"ip link set {name} up")
        command = [*middle.prefix, sys.executable, str(DELAY), str(delay), "client", "server"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as carrier:
            assert carrier.stdout
            assert carrier.stdout.readline() == b"up\n"
            yield
            carrier.kill()
