"""Remove what make has made of Docker's: images, and Compose if it is ours."""

from scripts import docker
from scripts.common import end_with, from_debian, say

# Filters for the images of this folder, for those of Debian's packages, and for nameless ones.
IMAGES = (
    ("label=tcp-pair", "reference={project}-server", "reference={project}-client"),
    ("label=made-of", "reference=tcp-pair-base", "reference=tcp-pair-services"),
    *(("label=tcp-pair", "dangling=true"), ("label=made-of", "dangling=true")),
)


def main() -> int:
    project = docker.compose_config()["name"]
    docker.output("compose", "down", "--remove-orphans")
    for filters in IMAGES:
        chosen = [f"--filter={text.format(project=project)}" for text in filters]
        images = set(docker.output("image", "ls", "--all", "--quiet", *chosen).split())
        if images and (answer := docker.run("rmi", *images)).returncode:
            say(f"Some images stay: {docker.reason(answer.stderr)}")
    from_debian("remove")
    return 0


if __name__ == "__main__":
    end_with(main)
