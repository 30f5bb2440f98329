"""Take away what make has made: environments, images, and Compose where it is ours."""

import shutil
from pathlib import Path
from subprocess import check_output

from scripts import docker, ready
from scripts.common import Problem, end_with

FOLDERS = (
    *(".venv", ".venv-lint", ".venv-bench"),
    *(".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
)


def main() -> int:
    for folder in FOLDERS:
        shutil.rmtree(folder, ignore_errors=True)
    if docker.run("compose", "version").returncode:
        raise Problem("Images cannot be removed: Docker has no Compose v2.")
    docker.output("compose", "down", "--rmi", "local")
    for image in (ready.SERVICES, ready.BASE):
        if docker.is_here(image):
            docker.output("rmi", image)
    plugin = Path(docker.plugins(), "docker-compose")
    marker = plugin.with_name(".tcp-pair-compose")
    if marker.exists():
        if check_output(["cksum"], input=plugin.read_bytes()) == marker.read_bytes():
            plugin.unlink()
        marker.unlink()
    return 0


if __name__ == "__main__":
    end_with(main)
