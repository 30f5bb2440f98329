"""What to send to a service, and how its reply begins once the service can be used."""

NAMES = ("SERVER_PORT", "MESSAGE", "REPLY", "REPLY_MATCH", "WRONG_REPLY")
# A complete login: one that ends before counts as a connect error, and too many as error 1129.
LOGIN = r">\0\0\x01\x01\x82\x08\0\0\0\0\x01!" + 23 * r"\0"
LOGIN += r"nobody\0\0caching_sha2_password\0" + r"\0\0\0\x03"  # an empty answer to another method
# By protocol. Dovecot and NATS greet before they refuse, but do not send so many bytes (\?) then.
SERVICES = {
    "amqp": ("5672", r"AMQP\0\0\x09\x01", r"\x01\0\0\0\?\?\?\0\x0a\0\x0a"),
    "beanstalkd": ("11300", r"use default\r\n", r"USING default\r\n"),
    "ftp": ("21", "", "220"),
    "http": ("80", r"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", r"HTTP/1.\? 2"),
    "imap": ("143", r"a CAPABILITY\r\nb LOGOUT\r\n", "* OK" + 60 * r"\?"),
    "ldap": ("389", r"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\0\x80\0", r"0\?\x02\x01\?a\?\n\x01\0"),
    "memcached": ("11211", r"version\r\n", "VERSION "),
    "mqtt": ("1883", r"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", r"\x20\x02\0\0"),
    "mysql": ("3306", LOGIN, r"\?\0\0\0\x0a"),
    "nats": ("4222", 1000 * r"PING\r\n", "INFO {" + 5000 * r"\?"),
    "pop3": ("110", "", "+OK"),
    "postgresql": ("5432", r"\0\0\0\x17\0\x03\0\0user\0postgres\0\0", "R"),
    "redis": ("6379", r"PING\r\n", r"+PONG\r\n"),
    "smtp": ("25", "", "220"),
    "ssh": ("22", "", "SSH-2.0-"),
    "zookeeper": ("2181", "srvr", "Zookeeper version"),
}
HELP = f"\nSERVER_PROTOCOL sets the defaults of {', '.join(NAMES)}:\n  {', '.join(SERVICES)}\n"
