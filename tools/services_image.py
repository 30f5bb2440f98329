"""Build the image of services that tests wait for."""

from scripts import docker
from scripts.common import Problem, from_debian, say
from scripts.ready import PYTHON

SERVICES = "tcp-pair-services:trixie"
SERVERS = (
    *("beanstalkd", "dovecot-imapd", "dovecot-pop3d", "mariadb-server", "memcached", "mosquitto"),
    *("nats-server", "nginx", "openssh-server", "postgresql-17", "rabbitmq-server"),
    *("redis-server", "slapd", "strace", "vsftpd"),
    *("opensmtpd", "ca-certificates"),  # without which it does not start
    "systemd-standalone-sysusers",  # of what sshd may depend on, the least
)
INSTALL = """
FROM {}
LABEL made-of=packages
ENV DEBIAN_FRONTEND=noninteractive
RUN printf 'exit 101' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \
    && apt-get update && apt-get install --yes --no-install-recommends {}
"""


def services_image(base: str) -> str:
    """Return the image, made of a base with apt or of Debian's packages. Raises Problem."""
    if docker.run("run", "--rm", "--network=none", base, "apt-get", "--version").returncode:
        from_debian("image", SERVICES, *PYTHON, *SERVERS)
        return SERVICES
    say(f"Building {SERVICES}, the services that tests wait for; this takes a minute.")
    text = INSTALL.format(base, " ".join(SERVERS))
    answer = docker.run("build", "--quiet", f"--tag={SERVICES}", "-", input=text, stdin=None)
    if answer.returncode:
        raise Problem(f"Cannot build {SERVICES}: {docker.reason(answer.stderr)}")
    return SERVICES
