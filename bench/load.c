/* The load: so many connections, each of which sends a message, awaits the whole reply, and
 * begins again, on the same connection ("kept"), on a new one ("new"), or never ("once").
 *
 * New connections leave 127.0.0.2 and the addresses after it in turn, since the ports of one
 * address are soon in TIME_WAIT. At most IN_FLIGHT of them are between connect and reply, so
 * that no backlog overflows: beyond that number the ones that have had their reply stay open,
 * and the oldest of them makes place for the next.
 *
 * The number of exchanges so far is in the first long of the file COUNTER, and whether all are open
 * in the second: whoever maps it reads them at any moment, however busy this loop is. It is one
 * epoll loop like the servers, so that on a core of its own it keeps up with the fastest of them. */

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 256
#define SOURCES 32
#define IN_FLIGHT 1024
#define LARGEST_REPLY 65536
#define LONGEST_SECONDS 60 /* should the other side hang */

struct connection {
    int sock;
    size_t received;
};

static struct sockaddr_in server = {.sin_family = AF_INET};
static const char *message, *reply;
static size_t message_size, reply_size;
static int epoll;

static void start(struct connection *connection)
{
    static unsigned source;
    int on = 1, sock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + source++ % SOURCES);
    /* The port is chosen by connect, which knows more of them to be free than bind. */
    setsockopt(sock, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (sock < 0 || bind(sock, (struct sockaddr *)&address, sizeof address))
        err(1, "socket");
    if (connect(sock, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        err(1, "connect");
    connection->sock = sock;
    connection->received = 0;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, sock, &event))
        err(1, "epoll_ctl");
}

static void speak(struct connection *connection)
{
    if (send(connection->sock, message, message_size, 0) != (ssize_t)message_size)
        err(1, "send");
    connection->received = 0;
}

/* True once the reply is whole. */
static int hear(struct connection *connection)
{
    static char buffer[LARGEST_REPLY];
    ssize_t size = recv(connection->sock, buffer, sizeof buffer, 0);
    if (size < 0)
        err(1, "recv");
    if (!size)
        errx(1, "closed by the server");
    if (memcmp(buffer, reply + connection->received, size) ||
        (connection->received += size) > reply_size)
        errx(1, "wrong reply");
    return connection->received == reply_size;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        errx(64, "usage: load PORT kept|new|once CONNECTIONS MESSAGE REPLY COUNTER");
    server.sin_port = htons(atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int kept = !strcmp(argv[2], "kept"), once = !strcmp(argv[2], "once");
    int wanted = atoi(argv[3]);
    message = argv[4], message_size = strlen(message);
    reply = argv[5], reply_size = strlen(reply);
    volatile long *shared = mmap(NULL, 2 * sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED,
                                 open(argv[6], O_RDWR), 0);
    if (shared == MAP_FAILED)
        err(1, "%s", argv[6]);
    alarm(LONGEST_SECONDS);

    epoll = epoll_create1(0);
    struct epoll_event events[BATCH], event;
    struct connection *connections = calloc(wanted, sizeof *connections);
    struct connection **silent = calloc(wanted, sizeof *silent); /* a ring, oldest first */
    int started = 0, oldest = 0, silents = 0;
    while (started < wanted && started < IN_FLIGHT)
        start(&connections[started++]);

    for (;;) {
        shared[1] = started == wanted && shared[0] >= wanted;
        int ready = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                event = (struct epoll_event){.events = EPOLLIN, .data.ptr = connection};
                epoll_ctl(epoll, EPOLL_CTL_MOD, connection->sock, &event);
                speak(connection);
                continue;
            }
            if (!hear(connection))
                continue;
            shared[0]++;
            if (kept) {
                speak(connection);
            } else if (!once) {
                silent[(oldest + silents++) % wanted] = connection;
            }
            if (started < wanted) {
                start(&connections[started++]);
            } else if (silents) {
                connection = silent[oldest];
                oldest = (oldest + 1) % wanted;
                silents--;
                close(connection->sock);
                start(connection);
            }
        }
    }
}
