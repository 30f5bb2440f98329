"""The health check of the server's image, as Docker runs it."""

import re

from tests.containers.support import NewPair, docker, logs, state, until


def is_now(server: str, health: str) -> bool:
    """Tell whether Docker has this opinion of the server's health."""
    return bool(state(server)["Health"]["Status"] == health)


def test_healthy_unhealthy_and_back(new_pair: NewPair) -> None:
    """A server that no longer answers is found out, and one that answers again is too."""
    pair = new_pair()
    # The image's own command, only sooner.
    pair.override("server", healthcheck={"interval": "0.3s", "retries": 1})
    with pair:
        pair.start("server")
        server = pair.server
        until(lambda: is_now(server, "healthy"))
        docker("kill", "--signal=STOP", server)
        until(lambda: is_now(server, "unhealthy"))
        docker("kill", "--signal=CONT", server)
        until(lambda: is_now(server, "healthy"))


def test_health_checks_leave_no_trace(new_pair: NewPair) -> None:
    """At INFO the log has two lines after any number of checks: listening, and nothing counted."""
    pair = new_pair()
    pair.override("server", healthcheck={"interval": "0.1s"})
    with pair:
        pair.start("server")
        server = pair.server
        # The first may come before the server listens.
        until(lambda: [c["ExitCode"] for c in state(server)["Health"]["Log"]].count(0) >= 3)
        docker("stop", server)
        listening, stopped = logs(server).stderr.splitlines()
        assert f"listening on {pair.env['SERVER_HOST']}:8888" in listening
        _, _, counts = stopped.partition(" INFO ")
        assert set(re.findall("[0-9]+", counts)) == {"0"}


def test_the_image_s_own_pace(new_pair: NewPair) -> None:
    """Without any override Compose waits for a healthy server, and has it within seconds."""
    with new_pair() as pair:
        pair.start("server", wait=True)
        assert is_now(pair.server, "healthy")
