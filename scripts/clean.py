"""Remove what make has made: environments, files, images, and Compose if it is ours."""

import shutil
from pathlib import Path

from scripts import docker
from scripts.common import Problem, end_with, take_from_debian

FILES = (
    *(".venv", ".venv-lint", ".venv-bench", ".venv-compose"),
    *(".hypothesis", ".*_cache", "**/__pycache__"),
    *("dist", "packets.*", "docs/packets.html", "bench/results/quick.*"),
)
# Filters for the images of this folder, for those of Debian's packages, and for nameless ones.
IMAGES = (
    ("label=tcp-pair", "reference={project}-server", "reference={project}-client"),
    ("label=made-of", "reference=tcp-pair-base", "reference=tcp-pair-services"),
    *(("label=tcp-pair", "dangling=true"), ("label=made-of", "dangling=true")),
)


def remove_files() -> None:
    for path in [path for pattern in FILES for path in Path().glob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove_images() -> str:
    """Remove the pair's containers and our images; return why some stay. Raises Problem."""
    if docker.run("compose", "version").returncode:
        raise Problem("Images cannot be removed: Docker has no Compose v2.")
    project, why = docker.compose_config()["name"], ""
    docker.output("compose", "down", "--remove-orphans")
    for filters in IMAGES:
        chosen = [f"--filter={text.format(project=project)}" for text in filters]
        images = set(docker.output("image", "ls", "--all", "--quiet", *chosen).split())
        if images and (answer := docker.run("rmi", *images)).returncode:
            why = f"Some images stay: {docker.reason(answer.stderr)}"
    return why


def main() -> int:
    remove_files()
    why = remove_images()
    take_from_debian("compose-plugin.sh", "remove")
    if why:
        raise Problem(why)
    return 0


if __name__ == "__main__":
    end_with(main)
