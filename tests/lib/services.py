"""Services that nobody here wrote, as commands in the image of Debian's packages."""

from typing import NamedTuple

# With its restore_command unfinished, PostgreSQL is starting.
POSTGRES = r"""
cd /etc/postgresql/17/main
echo host all all all scram-sha-256 >>pg_hba.conf
touch /var/lib/postgresql/17/main/recovery.signal
exec /usr/lib/postgresql/17/bin/postgres -D . -c listen_addresses='*' \
    -c unix_socket_directories=/tmp \
    -c restore_command='until [ -e /tmp/go ]; do sleep 0.1; done; false'
"""
# As slow with each key as this, Redis loads for minutes, and looks after clients meanwhile.
LOADING_REDIS = """
redis-server --daemonize yes --bind 127.0.0.1 --save '' --enable-debug-command yes
until redis-cli debug populate 20000; do sleep 0.1; done
redis-cli shutdown save
exec redis-server --protected-mode no \
    --key-load-delay 10000 --loading-process-events-interval-bytes 1024"""
# It looks each client's name up before it says anything, and then stays silent where Docker's
# answer is longer than a host name may be.
OPENSMTPD = """
echo nameserver 127.0.0.1 >/etc/resolv.conf
printf 'listen on 0.0.0.0\naction box mbox\nmatch for any action box\n' >/tmp/smtpd.conf
exec smtpd -d -f /tmp/smtpd.conf
"""
NGINX = r"""
printf 'daemon off; events {} http { server { listen 80; location / {
    if (!-e /tmp/go) { return 503; } return 200; } } }' >/tmp/nginx.conf
exec nginx -c /tmp/nginx.conf
"""


class Service(NamedTuple):
    """A service as a shell runs it, as whom.

    ``not_yet`` is how it answers, to begin with, until the command ``go`` is run beside it.
    """

    script: str
    user: str = "root"
    not_yet: str = ""
    go: tuple[str, ...] = ()


SERVICES = {
    "Redis": Service(
        LOADING_REDIS,
        not_yet="-LOADING",
        go=("redis-cli", "config", "set", "key-load-delay", "0"),
    ),
    "Redis with a password": Service(
        f"{LOADING_REDIS} --requirepass secret",
        not_yet=r"+OK\r\n-LOADING",
        go=("redis-cli", "-a", "secret", "config", "set", "key-load-delay", "0"),
    ),
    "memcached": Service("exec memcached", user="nobody"),
    "PostgreSQL": Service(POSTGRES, user="postgres", not_yet="E", go=("touch", "/tmp/go")),
    "HTTP": Service(NGINX, not_yet="HTTP/1.1 503", go=("touch", "/tmp/go")),
    "SMTP": Service(OPENSMTPD),
    "OpenSSH": Service("mkdir /run/sshd; exec /usr/sbin/sshd -D"),
}
