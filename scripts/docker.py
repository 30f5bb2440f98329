"""Docker's command line, with time-outs, and what is wrong with it said in a sentence."""

import json
import os
import subprocess
from typing import Any

from scripts.common import Problem, end_with, take_from_debian

# What docker prints as JSON; other keys are not ours to know.
Json = dict[str, Any]

# Seconds that a command may take; builds and pulls, which may take longer, are not run here.
ANSWER = 60.0


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run docker to its end, with options of Popen's. Raises Problem if there is no end."""
    reading: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"} | options
    name = " ".join(arguments[:2])
    try:
        return subprocess.run(
            ["docker", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=ANSWER,
            **reading,
        )
    except FileNotFoundError:
        where = "https://docs.docker.com/engine/install/"
        raise Problem(f"Docker is not installed: {where} says how.") from None
    except OSError as error:
        raise Problem(f"docker cannot be run: {error}") from None
    except subprocess.TimeoutExpired:
        raise Problem(f"docker {name} has not answered for {ANSWER:g} s.") from None


def reason(answer: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that docker has said of its failure."""
    return (answer.stderr.strip().splitlines() or ["no reason given"])[-1]


def output(*arguments: str, **options: Any) -> str:
    """Return what docker prints. Raises Problem."""
    answer = run(*arguments, **options)
    if answer.returncode:
        raise Problem(f"docker {' '.join(arguments[:2])}: {reason(answer)}")
    return answer.stdout


def is_here(image: str) -> bool:
    """Tell whether an image is there."""
    return not run("image", "inspect", image).returncode


def compose_config(*options: str) -> Json:
    """Have Compose put docker-compose.yml, .env and the environment together. Raises Problem."""
    answer = run("compose", *options, "config", "--format", "json")
    if not answer.returncode:
        config: Json = json.loads(answer.stdout)
        return config
    if not options and not run("compose", "--project-name=any", "config", "--quiet").returncode:
        raise Problem(
            "Docker Compose cannot make a name out of this folder's: put one in .env,"
            " COMPOSE_PROJECT_NAME=tcp-pair for example."
        )
    raise Problem(f"Docker Compose refuses docker-compose.yml with this .env: {reason(answer)}")


def plugins() -> str:
    """Return the folder where docker looks for the user's plugins. Raises Problem."""
    home = os.environ.get("HOME")
    folder = os.environ.get("DOCKER_CONFIG") or (home and f"{home}/.docker")
    if not folder:
        raise Problem("HOME is not set, which says where Docker's plugins are: set it.")
    return f"{folder}/cli-plugins"


def make_ready() -> int:
    """Make sure that Docker answers and has Compose v2. Raises Problem."""
    answer = run("version", "--format", "{{.Server.Version}}")
    if "permission denied" in answer.stderr:  # the system's words for EACCES
        raise Problem(
            "You may not use Docker: add yourself to the group docker"
            " (sudo usermod -aG docker $USER), then log in again."
        )
    if answer.returncode:
        advice = "start it (sudo systemctl start docker, or Docker Desktop)"
        for name in ("DOCKER_CONTEXT", "DOCKER_HOST"):
            if value := os.environ.get(name):
                advice = f"correct or unset {name}={value}"
        raise Problem(f"The Docker daemon does not answer: {advice}. Docker says: {reason(answer)}")
    if run("compose", "version").returncode:  # Debian's own Docker comes without
        take_from_debian("compose-plugin.sh", plugins())
    return 0


if __name__ == "__main__":
    end_with(make_ready)
