"""Get ready what the pair needs before it is built: Docker, addresses that fit, a base image."""

import os
import re
import select
import subprocess
from pathlib import Path

from scripts import docker, preflight
from scripts.common import Problem, end_with, say, take_from_debian

# Images made of Debian's packages, and of which.
BASE, SERVICES = "tcp-pair-base:trixie", "tcp-pair-services:trixie"
PYTHON = ("python3-minimal", "libpython3-stdlib")
SERVERS = (
    *("beanstalkd", "dovecot-imapd", "dovecot-pop3d", "mariadb-server", "memcached", "mosquitto"),
    *("nats-server", "nginx", "openssh-server", "postgresql-17", "rabbitmq-server"),
    *("redis-server", "slapd", "vsftpd"),
    *("opensmtpd", "ca-certificates"),  # without which it does not start
    "systemd-standalone-sysusers",  # of what sshd may depend on, the least
    "strace",
)
INSTALL = """
FROM {}
ENV DEBIAN_FRONTEND=noninteractive
RUN printf 'exit 101' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \
    && apt-get update && apt-get install --yes --no-install-recommends {}
"""

# Seconds until a registry's first answer; the whole pull may take minutes.
FIRST_ANSWER = 15.0

# A setting of .env, whose value takes several lines where it is in quotes.
_SETTING = re.compile(
    r"""^([^\S\n]*(?:export[^\S\n]+)?(\w+)[^\S\n]*=)[^\S\n]*"""
    r"""(?:'[^']*'|"(?:\\[\s\S]|[^"\\])*"|[^\n]*)""",
    re.MULTILINE,
)


def pull(image: str) -> str:
    """Pull an image; return why it cannot be pulled, or nothing."""
    with subprocess.Popen(
        ["docker", "pull", image],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
    ) as process:
        assert process.stdout
        if not select.select([process.stdout.fileno()], [], [], FIRST_ANSWER)[0]:
            process.kill()
            return f"no answer for {FIRST_ANSWER:g} seconds"
        lines = process.communicate()[0].splitlines()
    return (lines or ["no reason given"])[-1] if process.returncode else ""


def configured() -> str:
    """Return the base image that Compose takes. Raises Problem."""
    server = docker.compose_config()["services"]["server"]
    return str(server["build"]["args"]["PYTHON_IMAGE"])


def base_image() -> str:
    """Have the base image that is configured, or else one of ours; return it. Raises Problem."""
    image, in_shell = configured(), "PYTHON_IMAGE" in os.environ
    if not image:
        where = "your shell: unset it" if in_shell else ".env: name one, or remove that line"
        raise Problem(f"PYTHON_IMAGE is empty in {where}.")
    if image != BASE:
        if docker.is_here(image):
            return image
        say(f"Pulling {image}, which is not here yet.")
        why_not = pull(image)
        if not why_not:
            return image
        say(f"Cannot pull {image}: {why_not}")
        if in_shell or not re.fullmatch("python(:.*)?", image):
            where = "your shell" if in_shell else ".env"
            raise Problem(
                f"{image} cannot be pulled: in {where}, set PYTHON_IMAGE to an image that you have"
                " or can pull, or remove it from there."
            )
    take_from_debian("image.sh", BASE, *PYTHON)
    return BASE


def services_image(base: str) -> str:
    """Have the image of services for the tests; return it. Raises Problem."""
    if docker.run("run", "--rm", "--network=none", base, "apt-get", "--version").returncode:
        take_from_debian("image.sh", SERVICES, *PYTHON, *SERVERS)
    else:
        say(f"Building {SERVICES}, the services that tests wait for (a minute).")
        command = ["docker", "build", "--quiet", f"--tag={SERVICES}", "-"]
        text = INSTALL.format(base, " ".join(SERVERS))
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Problem(f"Cannot build {SERVICES}: {docker.reason(done)}")
    return SERVICES


def set_in_env(name: str, value: str) -> None:
    """Set a variable in .env, and leave its other lines, its permissions and links alone."""
    path, line = Path(".env"), f"{name}={value}"
    old = path.read_bytes().decode(errors="surrogateescape") if path.exists() else ""
    new = _SETTING.sub(lambda found: found[1] + value if found[2] == name else found[0], old)
    if all(found[2] != name for found in _SETTING.finditer(old)):
        new += "\n" * (old[-1:] not in {"", "\n"}) + line + "\n"
    path.write_bytes(new.encode(errors="surrogateescape"))


def main() -> int:
    docker.make_ready()
    preflight.look()
    image = base_image()
    if image != configured():
        line = f"PYTHON_IMAGE={image}"
        try:
            set_in_env("PYTHON_IMAGE", image)
        except OSError as error:
            raise Problem(f"Cannot write .env, {error.strerror}: put {line} there.") from None
        if image != configured():
            raise Problem(f"Cannot set PYTHON_IMAGE in .env: put {line} there yourself.")
        say(f".env now says {line}")
    return 0


if __name__ == "__main__":
    end_with(main)
