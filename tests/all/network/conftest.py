"""What these tests need: root, on Linux, where it may make networks."""

import pytest

from tests.lib.wire import need_hosts


@pytest.fixture(scope="package", autouse=True)
def _networks() -> None:
    need_hosts("ip link add type veth && iptables --list-rules && nsenter -V && setpriv -V")
