"""The health check of the server's image, as Docker runs it."""

import re

from docker.models.containers import Container

from tests.containers.support import NewPair, logs, moment, until


def becomes(server: Container, health: str) -> None:
    """Wait until Docker has this opinion of the server's health."""
    until(health, server, lambda server: server.health == health)


def test_healthy_unhealthy_and_back(new_pair: NewPair) -> None:
    """A server that no longer answers is found out, and one that answers again is too."""
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


def test_health_checks_leave_no_trace(new_pair: NewPair) -> None:
    """At INFO the log has two lines after any number of checks: listening, and nothing counted."""
    pair = new_pair()
    pair.override("server", healthcheck={"interval": "0.1s"})

    def three_checks(server: Container) -> bool:
        # The first may come before the server listens.
        checks = server.attrs["State"]["Health"]["Log"]
        return [check["ExitCode"] for check in checks].count(0) >= 3

    with pair:
        pair.start("server")
        server = pair.server
        until("three checks", server, three_checks)
        server.stop()
        listening, stopped = logs(server).stderr.splitlines()
        assert f"listening on {pair.env['SERVER_HOST']}:8888" in listening
        _, _, counts = stopped.partition(" INFO ")
        assert set(re.findall("[0-9]+", counts)) == {"0"}


def test_the_image_s_own_pace(new_pair: NewPair) -> None:
    """Without any override Compose waits for a healthy server, and has it within 10 s."""
    with new_pair() as pair:
        pair.start("server", wait=True)
        state = pair.server.attrs["State"]
        assert state["Health"]["Status"] == "healthy"
        checked = moment(state["Health"]["Log"][-1]["End"])
        assert (checked - moment(state["StartedAt"])).total_seconds() < 10
