"""The health check of the server's image, as Docker runs it."""

import re

from docker.models.containers import Container

from tests.lib.containers import NewPair, log_of, until


def becomes(server: Container, health: str) -> None:
    """Wait until Docker has this opinion of the server's health."""
    until(health, server, lambda server: server.health == health)


def test_health_follows_the_server(new_pair: NewPair) -> None:
    """A stopped server becomes unhealthy, then healthy again, and checks are not in its log."""
    # The image's own command, only sooner: tests/unit/test_limits.py computes its pace.
    pace = {"interval": "0.3s", "timeout": "1s", "retries": 1}
    pair = new_pair({"server": {"healthcheck": pace}})
    pair.start("server")
    server = pair.server
    becomes(server, "healthy")
    server.kill("STOP")
    becomes(server, "unhealthy")
    server.kill("CONT")
    becomes(server, "healthy")
    server.stop()

    listening, stopped = log_of(server).splitlines()
    assert f"listening on {pair.env['SERVER_HOST']}:8888" in listening
    _, _, counts = stopped.partition(" INFO ")
    assert set(re.findall("[0-9]+", counts)) == {"0"}
