"""The health check of the server's image, as Docker runs it."""

import re
from datetime import datetime

from docker.models.containers import Container

from tests.lib.containers import NewPair, logs, until


def becomes(server: Container, health: str) -> None:
    """Wait until Docker has this opinion of the server's health."""
    until(health, server, lambda server: server.health == health)


def test_healthy_unhealthy_and_back(new_pair: NewPair) -> None:
    """Whether the server answers is found out, again and again, and leaves no trace at INFO.

    The log has two lines: listening, and at the end that nothing was counted.
    """
    pair = new_pair()
    # The image's own command, only sooner.
    pair.override("server", healthcheck={"interval": "0.3s", "timeout": "1s", "retries": 1})
    with pair:
        pair.start("server")
        server = pair.server
        becomes(server, "healthy")
        server.kill("STOP")
        becomes(server, "unhealthy")
        server.kill("CONT")
        becomes(server, "healthy")
        server.stop()
        listening, stopped = logs(server).stderr.splitlines()
        assert f"listening on {pair.env['SERVER_HOST']}:8888" in listening
        _, _, counts = stopped.partition(" INFO ")
        assert set(re.findall("[0-9]+", counts)) == {"0"}


def test_the_image_s_own_pace(new_pair: NewPair) -> None:
    """Without any override Compose waits for a healthy server, and has it within 10 s."""
    with new_pair() as pair:
        pair.compose("up", "--detach", "--wait", "server")
        state = pair.server.attrs["State"]
        assert state["Health"]["Status"] == "healthy"
        started, checked = state["StartedAt"], state["Health"]["Log"][-1]["End"]
        took = datetime.fromisoformat(checked) - datetime.fromisoformat(started)
        assert took.total_seconds() < 10
