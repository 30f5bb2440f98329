"""Third-party services, as shell scripts for an image with Debian's packages."""

from typing import NamedTuple

# PostgreSQL is starting as long as its restore_command runs.
POSTGRES = r"""
cd /etc/postgresql/17/main
echo host all all all scram-sha-256 >>pg_hba.conf
touch /var/lib/postgresql/17/main/recovery.signal
exec /usr/lib/postgresql/17/bin/postgres -D . -c listen_addresses='*' \
    -c unix_socket_directories=/tmp \
    -c restore_command='until [ -e /tmp/go ]; do sleep 0.1; done; false'
"""
# With this delay for each key Redis loads for minutes, and serves clients while it loads.
REDIS = """
redis-server --daemonize yes --port 6380 --save '' --enable-debug-command yes
until redis-cli -p 6380 debug populate 20000; do sleep 0.1; done
redis-cli -p 6380 shutdown save
redis-server --protected-mode no {} \
    --key-load-delay 10000 --loading-process-events-interval-bytes 1024 &
go
until redis-cli -a secret config set key-load-delay 0; do sleep 0.1; done
wait
"""
OPENSMTPD = r"""
printf 'listen on 0.0.0.0\naction box mbox\nmatch for any action box\n' >/tmp/smtpd.conf
smtpd -P smtp -d -f /tmp/smtpd.conf &
go
smtpctl resume smtp
wait
"""
NGINX = r"""
printf 'daemon off; events {} http { server { listen 80; location / {
    if (!-e /tmp/go) { return 503; } return 200; } } }' >/tmp/nginx.conf
exec nginx -c /tmp/nginx.conf
"""
# Its login processes wait for the authentication process.
DOVECOT = r"""
cd /usr/lib/dovecot
printf '#!/bin/sh\nuntil [ -e /tmp/go ]; do sleep 0.1; done; exec %s/auth "$@"' $PWD >slow-auth
chmod +x slow-auth
printf 'service auth {\n executable = slow-auth\n}\n' >/etc/dovecot/local.conf
exec dovecot -F
"""
MARIADB = """
mkdir -p /run/mysqld
chown mysql /run/mysqld
mariadbd --user=mysql --bind-address=0.0.0.0 --max-connect-errors=1 &
go
until mariadb --execute "CREATE USER app@'%'"; do sleep 0.1; done
wait
"""


class Service(NamedTuple):
    """The shell script of a service, and its user.

    ``not_yet`` is in the client's log while the service listens but cannot be used: until
    /tmp/go exists.
    """

    script: str
    not_yet: str = ""
    user: str = "root"

    @property
    def command(self) -> list[str]:
        """The command that runs the service; its function ``go`` waits for /tmp/go."""
        go = "go() { until [ -e /tmp/go ]; do sleep 0.1; done; }"
        return ["sh", "-ec", f"cd /tmp\n{go}\n{self.script}"]


def reloaded(
    before: str, after: str, program: str, not_yet: str, reload: str = "kill -HUP $!"
) -> Service:
    """Return a service that gets another configuration, /tmp/conf, once /tmp/go exists."""
    write = "printf '%b' '{}' >conf\n"
    script = f"{write.format(before)}{program} &\ngo\n{write.format(after)}{reload}\nwait"
    return Service(script, not_yet)


# ZooKeeper is missing: Java would double the image. See tests/loopback/test_services.py.
SERVICES = {
    "amqp": Service("exec /usr/lib/rabbitmq/bin/rabbitmq-server", user="rabbitmq"),
    "beanstalkd": Service("exec beanstalkd"),
    "ftp": reloaded(
        *(r"listen=YES\nbackground=NO\nsecure_chroot_dir=/tmp/empty\n", "", "vsftpd $PWD/conf"),
        "500 OOPS",
        reload="mkdir empty",
    ),
    "http": Service(NGINX, "HTTP/1.1 503"),
    "imap": Service(DOVECOT, "of 64 bytes"),
    "ldap": reloaded(
        *(r"disallow bind_anon\n", "", "slapd -d 0 -f conf", "anonymous bind disallowed"),
        reload="kill $!; wait; slapd -d 0 -f conf &",
    ),
    "memcached": Service(
        "echo a:b >auth\nmemcached -Y auth &\ngo\nkill $!\nwait\nexec memcached",
        "CLIENT_ERROR unauthenticated",
        user="nobody",
    ),
    "mqtt": reloaded(
        r"listener 1883\nallow_anonymous false",
        r"listener 1883\nallow_anonymous true",
        "mosquitto -c conf",
        r"\x05",
    ),
    "mysql": Service(MARIADB, "is not allowed to connect"),
    "nats": reloaded(
        "authorization {user: a, password: b}", "", "nats-server -c conf", "of 5006 bytes"
    ),
    "pop3": Service(DOVECOT, "of 3 bytes"),
    "postgresql": Service(POSTGRES, "reply: E", user="postgres"),
    "redis": Service(REDIS.format(""), "-LOADING"),
    "redis with a password": Service(REDIS.format("--requirepass secret"), r"+OK\r\n-LOADING"),
    "smtp": Service(OPENSMTPD, "of 3 bytes"),
    "ssh": reloaded(
        "PerSourceMaxStartups 0",
        "",
        "mkdir -p /run/sshd; /usr/sbin/sshd -D -f $PWD/conf",
        "Not allowed at this time",
    ),
}
