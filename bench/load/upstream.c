/* upstream: the static server behind the gate in the soak, which costs a third of what nginx does.
 *
 *   upstream PORT
 *
 * Answers GET /10m with 10 MiB, any other GET with 1 KiB, on connections that stay. Whatever else is asked gets 405, and
 * nothing that follows on its connection is answered.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct answer {
    char *bytes;
    size_t length;
};

struct conn {
    int fd, last;                /* last: no answer any more */
    size_t have, sent;
    const struct answer *answer; /* what is being sent */
    char asked[16384];
};

static struct answer small, large, refused;
static int ep;

static struct answer made(const char *status, size_t body)
{
    struct answer answer = {.bytes = malloc(body + 256)};
    answer.length = snprintf(answer.bytes, 256, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", status, body);
    memset(answer.bytes + answer.length, 'x', body);
    answer.length += body;
    return answer;
}

static void watch(struct conn *c, uint32_t events, int op)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(ep, op, c->fd, &e);
}

static void end(struct conn *c)
{
    close(c->fd);
    free(c);
}

/* Takes a request, if a whole head is there, and gives its answer. */
static const struct answer *next(struct conn *c)
{
    char *end = c->last ? NULL : memmem(c->asked, c->have, "\r\n\r\n", 4);
    if (!end) return NULL;
    const struct answer *answer = memcmp(c->asked, "GET ", 4) ? &refused : memcmp(c->asked, "GET /10m ", 9) ? &small : &large;
    c->have -= end + 4 - c->asked;
    memmove(c->asked, end + 4, c->have);
    c->last = answer == &refused;
    c->sent = 0;
    return answer;
}

static void serve(struct conn *c)
{
    int waited = c->answer != NULL;
    if (!waited) {
        if (c->last) c->have = 0;
        ssize_t n = recv(c->fd, c->asked + c->have, sizeof c->asked - c->have, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) { end(c); return; } /* a head that is too long for the buffer, too */
        c->have += n;
    }
    while (c->answer || (c->answer = next(c))) {
        ssize_t n = send(c->fd, c->answer->bytes + c->sent, c->answer->length - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            if (!waited) watch(c, EPOLLOUT, EPOLL_CTL_MOD);
            return;
        }
        if (n < 0) { end(c); return; }
        if ((c->sent += n) == c->answer->length) c->answer = NULL;
    }
    if (waited) watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

int main(int argc, char **argv)
{
    if (argc != 2) return fputs("upstream PORT\n", stderr), 2;
    small = made("200 OK", 1024);
    large = made("200 OK", 10 << 20);
    refused = made("405 Method Not Allowed", 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 4096)) return perror("listen"), 1;
    ep = epoll_create1(0);
    struct epoll_event events[256], accepting = {.events = EPOLLIN};
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &accepting);
    for (;;) {
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr) { serve(events[i].data.ptr); continue; }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd < 0) continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            struct conn *c = calloc(1, sizeof *c);
            c->fd = fd;
            watch(c, EPOLLIN, EPOLL_CTL_ADD);
        }
    }
}
