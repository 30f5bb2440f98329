/* The floor: what the kernel alone asks for. One thread, one epoll, one reply for each chunk;
 * no log, no limit, no time-out, and the first thing that fails ends it. */

#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 256

static char buffer[64 * 1024];

int main(int argc, char **argv)
{
    if (argc != 3)
        errx(64, "usage: floor PORT REPLY");
    signal(SIGPIPE, SIG_IGN);
    size_t reply_size = strlen(argv[2]);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(atoi(argv[1])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        err(71, "port %s", argv[1]);

    int poll = epoll_create1(0);
    struct epoll_event events[BATCH], event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poll, events, BATCH, -1);
        for (int i = 0; i < ready; i++) {
            int sock = events[i].data.fd;
            if (sock == listener) {
                while ((sock = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    event.data.fd = sock;
                    if (epoll_ctl(poll, EPOLL_CTL_ADD, sock, &event))
                        err(1, "epoll_ctl");
                }
                if (errno != EAGAIN)
                    err(1, "accept");
            } else if (recv(sock, buffer, sizeof buffer, 0) <= 0 ||
                       send(sock, argv[2], reply_size, 0) < 0) {
                close(sock);
            }
        }
    }
}
