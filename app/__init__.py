"""A TCP server, and a client that waits for it, on the standard library alone.

Read ``protocol`` (bytes), ``config`` (the environment), ``client`` (connect, exchange, try
again), ``server`` (one thread, one selector, one ordered map), ``healthcheck``, ``log``.
"""
