"""Docker's command line, and one sentence for what is wrong."""

import json
import subprocess
from typing import Any

from scripts.common import TEXT, Problem, end_with, from_debian

# What docker prints as JSON; other keys are not ours to know.
Json = dict[str, Any]


def run(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run docker to its end, with options of Popen's. Raises Problem if there is no docker."""
    command, options = ["docker", *arguments], TEXT | options
    try:
        return subprocess.run(command, capture_output=True, check=False, **options)
    except OSError as error:
        what = f"docker cannot be run, {error.strerror}"
        raise Problem(f"{what}: see https://docs.docker.com/engine/install/.") from None


def reason(said: str) -> str:
    """Return the line in which docker says why it failed."""
    lines = said.partition("\n\nRun 'docker")[0].split("\n")  # behind it Docker 28 gives advice
    return next((line for line in reversed(lines) if line.strip()), "no reason given")


def output(*arguments: str, **options: Any) -> str:
    """Return what docker prints. Raises Problem."""
    answer = run(*arguments, **options)
    if answer.returncode:
        raise Problem(f"docker {' '.join(arguments[:2])}: {reason(answer.stderr)}")
    return answer.stdout


def compose_config(*options: str) -> Json:
    """Return what Compose makes of its files, .env and the environment. Raises Problem."""
    answer = run("compose", *options, "config", "--format", "json")
    if answer.returncode:
        why = reason(answer.stderr)
        if "project name" in why:  # that of a folder, too
            why += ". Set COMPOSE_PROJECT_NAME, in .env or your shell, to tcp-pair for example"
        raise Problem(f"Docker Compose cannot use docker-compose.yml with this .env: {why}.")
    config: Json = json.loads(answer.stdout)
    if not {"server", "client"} <= config.get("services", {}).keys():
        raise Problem("Compose reads another file than docker-compose.yml: unset COMPOSE_FILE.")
    return config


def make_ready() -> int:
    """Make sure that Docker answers and has Compose v2. Raises Problem."""
    answer = run("version", "--format", "{{.Server.Version}}")
    if answer.returncode:
        why = reason(answer.stderr)
        if "permission denied" in why:
            why += ". Join the group docker (sudo usermod -aG docker $USER), then log in again"
        raise Problem(f"The Docker daemon does not answer: {why}")
    if run("compose", "version").returncode:  # Debian's own Docker comes without
        from_debian("compose")
    return 0


if __name__ == "__main__":
    end_with(make_ready)
