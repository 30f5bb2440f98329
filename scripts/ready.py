"""Get ready what the pair needs: Docker, addresses that fit, a base image, both images."""

import os
import re
import select
from pathlib import Path
from subprocess import TimeoutExpired

from scripts import docker, preflight
from scripts.common import Problem, end_with, say, start, take_from_debian

# In .env these two count as not chosen. Ours is made of Debian's packages.
DEFAULT, BASE = "python:3.14-slim", "tcp-pair-base:trixie"
PYTHON = ("python3-minimal", "libpython3-stdlib")
# Only a host with this file can make ours.
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

FIRST_ANSWER = 3.0  # seconds for a registry, if ours can take the place of its image
NOTICEABLE = 2.0  # seconds after which a build says how long it takes


def pull(image: str, patience: float | None) -> str:
    """Pull an image; return why it cannot be pulled, or nothing."""
    say(f"Pulling {image}, once; this takes from seconds to minutes.")
    with start("docker", "pull", image) as process:
        assert process.stdout
        # The first line comes once the registry has described the image.
        if not select.select([process.stdout], [], [], patience)[0]:
            process.kill()
            return f"the registry has not answered for {patience:g} seconds"
        said, _ = process.communicate()
    return docker.reason(said) if process.returncode else ""


def configured() -> str:
    """Return the base image that Compose takes. Raises Problem."""
    server = docker.compose_config()["services"]["server"]
    return str(server["build"]["args"]["PYTHON_IMAGE"])


def base_image() -> str:
    """Return the chosen base image, or the default, or ours, once it is here. Raises Problem."""
    image = configured() or "''"  # which shows where it is, and docker refuses
    place = "your shell" if "PYTHON_IMAGE" in os.environ else ".env"
    is_chosen = place != ".env" or image not in (DEFAULT, BASE)
    if not is_chosen:
        image = DEFAULT
    problem = ""
    if image != BASE:
        if not docker.run("image", "inspect", image).returncode:
            return image
        can_wait = is_chosen or not KEYRING.exists()
        why_not = pull(image, None if can_wait else FIRST_ANSWER)
        if not why_not:
            return image
        problem = (
            f"{image} cannot be pulled: check the name, the network, docker login;"
            f" PYTHON_IMAGE in {place}. Docker says: {why_not}"
        )
        if is_chosen:
            raise Problem(problem)
        say(f"Cannot pull {image}: {why_not}")
    try:
        take_from_debian("image.sh", BASE, *PYTHON)
    except Problem as other:
        raise Problem(f"{other}\n{problem}".strip()) from None
    return BASE


def set_in_env(line: str) -> None:
    """Put a line of .env in the place of the one for the same variable, or at the end."""
    path, new, name = Path(".env"), line.encode(), line.partition("=")[0].encode()
    old = path.read_bytes() if path.exists() else b""
    pattern = rb"(?m)^([ \t]*(?:export[ \t]+)?)" + name + rb"[ \t]*=[^\r\n]*"
    text, count = re.subn(pattern, lambda found: found[1] + new, old)
    if not count:
        text = old + b"\n" * (old[-1:] not in (b"", b"\n")) + new + b"\n"
    path.write_bytes(text)


def build(*options: str) -> None:
    """Build both images, with options of Compose. Raises Problem after showing what it wrote."""
    # BuildKit refuses a folder with an accent: docker/compose#13965.
    classic = {} if Path.cwd().name.isascii() else {"DOCKER_BUILDKIT": "0"}
    with start("docker", "compose", *options, "build", env={**os.environ, **classic}) as process:
        try:
            said, _ = process.communicate(timeout=NOTICEABLE)
        except TimeoutExpired:
            say("Building both images; this takes up to half a minute.")
            said, _ = process.communicate()
    if process.returncode:
        say(said.strip())
        raise Problem("The images cannot be built, see above.")


def main() -> int:
    docker.make_ready()
    preflight.look()
    image = base_image()
    if image != configured():
        line = f"PYTHON_IMAGE={image}"
        try:
            set_in_env(line)
            say(f".env now says {line}")
        except OSError as error:
            say(f"Cannot write .env, {error.strerror}: put {line} there yourself.")
        os.environ["PYTHON_IMAGE"] = image  # comes before .env, whatever can be written there
    build()
    return 0


if __name__ == "__main__":
    end_with(main)
