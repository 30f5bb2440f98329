"""The server's container, as shipped, with 1,000 clients that never read."""

from docker import DockerClient

from tests.lib.containers import NewPair, execute, exit_code, logged

LARGEST = "R" * 65536
# Small buffers, because the test measures the server's container and not this one.
CROWD = """
import resource, select, socket, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
poller, socks = select.poll(), {}
for _ in range(1000):
    sock = socket.socket()
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 8192)
    sock.connect((sys.argv[1], 8888))
    sock.setblocking(False)
    poller.register(sock, select.POLLOUT)
    socks[sock.fileno()] = sock
while ready := poller.poll(1000):
    for number, _ in ready:
        socks[number].send(bytes(65536))
print("full", file=sys.stderr, flush=True)
select.select([], [], [], 60)
"""
# Prints the number of connections and the bytes in their kernel queues (proc_net_tcp.txt), and the
# server's memory in KiB and CPU in hundredths of a second (proc(5)).
USED = """
queues = [line.split()[4].split(":") for line in open("/proc/net/tcp") if " 01 " in line]
(memory,) = [line.split()[1] for line in open("/proc/1/status") if line.startswith("VmRSS:")]
cpu = sum(map(int, open("/proc/1/stat").read().split()[13:15]))
print(len(queues), sum(int(size, 16) for queue in queues for size in queue), memory, cpu)
"""


def test_server_survives_a_thousand_clients_that_never_read(
    new_pair: NewPair, docker_client: DockerClient
) -> None:
    """A server with 1,000 clients that never read stays healthy and serves another client."""
    pair = new_pair(REPLY=LARGEST)
    pair.start("server")
    server, name = pair.server, pair.folder.name
    logged(server, "listening on")
    command = ["python3", "-c", CROWD, pair.env["SERVER_HOST"]]
    options = {"name": f"{name}-crowd", "network": f"{name}_pair", "detach": True}
    crowd = docker_client.containers.run(f"{name}-client", command, **options)
    try:
        logged(crowd, "full")
        count, held, own, cpu = map(int, execute(server, USED).split())
        memory = server.stats(stream=False, one_shot=True)["memory_stats"]
        assert count >= 1000
        assert own < 24 * 1024
        # With cgroup v2 Docker also reports what the kernel's own structures take.
        assert max(held, memory["stats"].get("sock", 0)) <= memory["limit"] / 2

        for _ in range(5):
            assert server.exec_run(["python3", "-m", "app.healthcheck"]).exit_code == 0
        assert int(execute(server, USED).split()[3]) - cpu < 10
        pair.start("client")
        assert exit_code(pair.client) == 0
        server.reload()
        state = server.attrs["State"]
        assert (state["Status"], state["OOMKilled"]) == ("running", False)
        assert (state["Health"]["Status"], state["Health"]["FailingStreak"]) == ("healthy", 0)
    finally:
        crowd.remove(force=True)
