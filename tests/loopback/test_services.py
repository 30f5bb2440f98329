"""SERVER_PROTOCOL against peers that reply as real services do."""

import socket
from itertools import chain, repeat

import pytest

from tests.lib.peers import listening, receive
from tests.lib.programs import run_client

GREETING = (
    b"K\0\0\0\n9.7.4-2\0\x0c\0\0\0S\x18^^zCvM\0\xff\xff\xff\x02\0\xff\xdf\x15\0\0\0\0\0\0\0\0\0\0"
    b"\x02&~vH-]%a /X\0caching_sha2_password\0"
)
DENIED = (
    b"G\0\0\x02\xff\x15\x04#28000Access denied for user 'nobody'@'service' (using password: NO)"
)
BLOCKED = b"i\0\0\0\xffi\4Host '198.18.0.10' is blocked because of many connection errors; "
BLOCKED += b"unblock with 'mysqladmin flush-hosts'"
NOT_ALLOWED = b"@\0\0\0\xffj\4Host 'service' is not allowed to connect to this MySQL server"
WAITING = b"* OK Waiting for authentication process to respond..\r\n"
BYE = b"* CAPABILITY IMAP4rev1\r\na OK done\r\n* BYE bye\r\nb OK done\r\n"

# For each protocol the replies of an unusable service, then the reply of a usable service. The
# first two services are too large for the tests. Their replies are recorded from ZooKeeper 3.9.3
# (Debian trixie), without a quorum and alone, and from MySQL 9.7.4 (Debian sid). Dovecot 2.4.1
# sends WAITING after ten seconds. The usable IMAP server sends the shortest possible reply.
RECORDED = {
    "zookeeper": (
        [b"This ZooKeeper instance is not currently serving requests\n"],
        b"Zookeeper version: 3.9.3-${mvngit.commit.id}, built on 2026-03-08 16:19 UTC\n",
    ),
    "mysql": ([NOT_ALLOWED, BLOCKED], GREETING + DENIED),
    "imap": ([WAITING, b"* BYE " + 60 * b"x"], b"* OK ready\r\n" + BYE),
    "redis": ([b"-NOAUTH Authentication required.\r\n", b"-LOADING "], b"+PONG\r\n"),
    "http": ([b"HTTP/1.1 503 ", b"HTTP/1.1 301 ", b"HTTP/2.0 200 "], b"HTTP/1.0 204 "),
    "smtp": ([b"421 busy\r\n", b"554 no\r\n"], b"220-mail\r\n"),
    "ftp": ([b"120 in five minutes\r\n", b"421 too many\r\n"], b"220 ready\r\n"),
}


@pytest.mark.parametrize("protocol", RECORDED)
def test_client_waits_for_the_reply_of_a_usable_service(protocol: str) -> None:
    """The client tries again until the reply is that of a usable service."""
    unusable, usable = RECORDED[protocol]
    answers = chain(unusable, repeat(usable))

    def serve(sock: socket.socket) -> None:
        sock.sendall(next(answers))
        sock.shutdown(socket.SHUT_WR)
        receive(sock)

    with listening(serve) as address:
        outcome = run_client(address, SERVER_PROTOCOL=protocol, OUTPUT="json")

    assert (outcome.exit_code, outcome.json["attempts"]) == (0, len(unusable) + 1)
