"""The client waits for a name that does not resolve yet."""

import json

from tests.lib.containers import NewPair, exit_code, logged


def test_client_waits_for_a_name(new_pair: NewPair) -> None:
    """A client with the service's name waits until the name resolves to the fixed address."""
    # Docker looks an unknown name up outside, which may take the resolver's whole patience.
    resolver = ["timeout:1", "attempts:1"]
    settings = {"environment": {"SERVER_HOST": "server"}, "dns_opt": resolver}
    pair = new_pair({"client": settings}, RETRY_DELAY="0.2", OUTPUT="json")
    pair.start("client")
    logged(pair.client, "server:8888")
    pair.start("server")

    assert exit_code(pair.client) == 0
    found = json.loads(pair.client.logs(stderr=False))
    assert found["peer"] == f"{pair.env['SERVER_HOST']}:8888"
    assert found["attempts"] > 1
