"""The client waits for the server: started first, by name, and while the server starts again."""

import time

from tests.containers.support import (
    NewPair,
    OnHost,
    at,
    execute,
    exit_code,
    fixed_addresses,
    inspect,
    logged,
    moment,
    result,
    state,
    until,
)

RETRY_DELAY = 2.0  # the default

ESTABLISHED = " 01 "  # as /proc/net/tcp has it


def test_a_client_started_first(name: str, images: dict[str, str]) -> None:
    """It has the reply 1.5 s and RETRY_DELAY after the server listens, each at its address."""
    with fixed_addresses(f"{name}-network") as (network, settings):
        server_host, client_host = settings["SERVER_HOST"], settings["CLIENT_HOST"]
        client = at(client_host, network, images["client"], f"{name}-client")
        server = at(server_host, network, images["server"], f"{name}-server")
        with client.with_env("SERVER_HOST", server_host):
            time.sleep(6)  # so much later the server comes
            assert f"{server_host}:8888" in logged(client.get_container_id(), "INFO ")
            with server.with_env("HOST", server_host):
                for container, address in ((server, server_host), (client, client_host)):
                    known = inspect(container.get_container_id())["NetworkSettings"]["Networks"]
                    assert known[network.name]["IPAddress"] == address
                assert client.wait() == 0

                stdout, stderr = client.get_logs()
                assert stdout == b"SERVER OK - STATUS 200\n"
                assert f" {server_host}:8888 ".encode() in stderr.splitlines()[-1]
                listening = logged(server.get_container_id(), f"listening on {server_host}:8888")
                greeting = logged(server.get_container_id(), "Testando conexão")
                assert f" {client_host}:" in greeting
                ended = state(client.get_container_id())["FinishedAt"]
                took = (moment(ended) - moment(listening)).total_seconds()
                assert 0 < took < RETRY_DELAY + 1.5


def test_a_name_that_does_not_resolve_yet(new_pair: NewPair) -> None:
    """A client that is given the service's name waits until there is one, at its fixed address."""
    pair = new_pair(RETRY_DELAY="0.2", OUTPUT="json")
    # Docker looks an unknown name up outside, which may take the resolver's whole patience.
    resolver = ["timeout:1", "attempts:1"]
    pair.override("client", environment={"SERVER_HOST": "server"}, dns_opt=resolver)
    with pair:
        pair.start("client")
        client = pair.client
        logged(client, "server:8888")
        pair.start("server")
        assert exit_code(client) == 0
        found = result(client)
        assert found["peer"] == f"{pair.env['SERVER_HOST']}:8888"
        assert found["attempts"] > 1


def test_a_server_that_is_killed(new_pair: NewPair, on_host: OnHost) -> None:
    """A client whose server dies before its reply gets it from the one that Docker starts next."""
    with new_pair(RETRY_DELAY="0.2", REPLY_TIMEOUT="60", OUTPUT="json") as pair:
        pair.start("server")
        server = pair.server
        logged(server, "listening")
        pid = state(server)["Pid"]
        # Not by `docker kill`, after which Docker does not start it again.
        on_host(f"os.kill({pid}, signal.SIGSTOP)")
        pair.start("client")
        client = pair.client
        # The kernel connects it all the same.
        until(lambda: ESTABLISHED in execute(client, "print(open('/proc/net/tcp').read())"))
        on_host(f"os.kill({pid}, signal.SIGKILL)")

        assert exit_code(client) == 0
        assert result(client)["attempts"] > 1
        assert inspect(server)["RestartCount"] == 1
