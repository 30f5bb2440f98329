"""A TCP server, and a client that waits for it, on the standard library alone.

From the inside out: ``protocol`` (bytes), ``config`` (the environment), ``exchange`` (connect,
send, compare), ``log`` and ``usage`` (what is written), ``process`` (signals, descriptors);
``client`` (try until the reply comes), ``server`` (one thread, one epoll), ``healthcheck``.
"""

__version__ = "0.1.0"
