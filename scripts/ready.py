"""Get ready what the pair needs: Docker, addresses that fit, a base image, both images."""

import os
import re
import select
from pathlib import Path
from subprocess import TimeoutExpired

from scripts import docker, preflight
from scripts.common import Problem, end_with, from_debian, say, start

# In .env these two count as not chosen. Ours is made of Debian's packages.
DEFAULT, BASE = "python:3.14-slim", "tcp-pair-base:trixie"
PYTHON = ("python3-minimal", "libpython3-stdlib")
# Only a host with this file can make ours.
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

FIRST_ANSWER = 3.0  # seconds for a registry, if ours can take the place of its image
NOTICEABLE = 2.0  # seconds after which a build says how long it takes


def pull(image: str, patience: float | None) -> str:
    """Pull an image; return why it cannot be pulled, or nothing."""
    say(f"Pulling {image}, once, to build on it; this takes from seconds to minutes.")
    with start("docker", "pull", image) as process:
        assert process.stdout
        # The first line comes once the registry has described the image.
        if not select.select([process.stdout], [], [], patience)[0]:
            process.kill()
            return f"the registry has not answered for {patience:g} seconds"
        said, _ = process.communicate()
    return docker.reason(said) if process.returncode else ""


def configured(config: docker.Json) -> str:
    """Return the base image that Compose takes."""
    return str(config["services"]["server"]["build"]["args"]["PYTHON_IMAGE"])


def base_image(image: str) -> str:
    """Return the chosen base image, or the default, or ours, once it is here. Raises Problem."""
    is_chosen = "PYTHON_IMAGE" in os.environ or image not in (DEFAULT, BASE)
    if not is_chosen:
        image = DEFAULT
    if not docker.run("image", "inspect", image).returncode:
        return image
    has_other = not is_chosen and KEYRING.exists()
    why_not = pull(image, FIRST_ANSWER if has_other else None)
    if not why_not:
        return image
    if not has_other:
        raise Problem(
            f"{image or repr(image)} cannot be pulled: check the name, the network, docker login;"
            f" PYTHON_IMAGE in .env or your shell. Docker says: {why_not}"
        )
    say(f"Cannot pull {image}: {why_not}")
    from_debian("image", BASE, *PYTHON)
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
    config = docker.compose_config()
    preflight.look(config)
    image = base_image(configured(config))
    if image != configured(config):
        os.environ["PYTHON_IMAGE"] = image  # comes before .env
        set_in_env(f"PYTHON_IMAGE={image}")
        say(f".env now says PYTHON_IMAGE={image}")
    build()
    return 0


if __name__ == "__main__":
    end_with(main)
