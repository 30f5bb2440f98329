"""Skip these tests unless they run as root on Linux and can make networks."""

import pytest

from tests.lib.wire import need_hosts


@pytest.fixture(scope="package", autouse=True)
def _networks() -> None:
    need_hosts("ip link add type veth && iptables --list-rules && nsenter -V && setpriv -V")
