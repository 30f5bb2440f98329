"""The client waits for a name that does not resolve yet, and for a server that is killed."""

import signal

from tests.lib.containers import NewPair, connected, execute, exit_code, logged, result


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


def test_a_server_that_is_killed(new_pair: NewPair) -> None:
    """A client whose server dies before its reply gets it from the one that Docker starts next."""
    pair = new_pair(RETRY_DELAY="0.2", REPLY_TIMEOUT="60", OUTPUT="json")
    # Where it is not PID 1 it can be killed from within: Docker does not start again what
    # `docker kill` has ended.
    pair.override("server", restart="on-failure", init=True)
    with pair:
        pair.start("server")
        server = pair.server
        logged(server, "listening")
        execute(server, f"import os; os.kill(-1, {signal.SIGSTOP})")
        pair.start("client")
        connected(pair.client)
        # No exit code is awaited: this command ends with the container.
        server.exec_run(["python3", "-c", f"import os; os.kill(-1, {signal.SIGKILL})"])

        assert exit_code(pair.client) == 0
        assert result(pair.client)["attempts"] > 1
        assert pair.server.attrs["RestartCount"] == 1
