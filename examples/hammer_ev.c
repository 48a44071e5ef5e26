/* SPDX-License-Identifier: BSD-2-Clause */
/* A client for the demo: asks an HTTP server on loopback for the files of a directory, again and again over a few
 * connections, compares every byte, and tells the median and the slowest time of a request. It shows the blocking form
 * of efio, too: the files are read with ef_wait before the loop runs. */
#include <efio_ev.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { files_max = 1000, connections_max = 64, file_max = 1024 * 1024, head_max = 4096, times_max = 1 << 22 };

struct expected {
  char *name, *bytes;
  size_t size;
};

struct connection {
  ev_io socket;
  ev_tstamp began;
  const struct expected *file;
  size_t got, head; /* bytes of the response, of them head */
  bool stopped;
  char in[head_max + file_max];
};

static struct expected files[files_max];
static struct connection *connections[connections_max];
static float *times;
static size_t file_count, time_count, asked, connection_count = 4, running;
static unsigned long long bytes_got;
static const char *directory, *prefix = "";
static int port, failures;
static bool stopping;

/* ---- What is expected */

/* Reads all of a file, waiting for it. False: errno. */
static bool load(int at, const char *name, struct expected *out) {
  char *bytes = malloc(file_max);
  ssize_t n = -1;
  size_t size = 0;
  int fd = bytes ? ef_openat(NULL, at, name, O_RDONLY, 0, NULL) : -1;
  while (fd >= 0 && size < file_max) {
    n = ef_read(fd, bytes + size, file_max - size);
    if (n == 0 || (n < 0 && errno != EAGAIN)) break;
    if (n < 0)
      ef_wait(fd, EF_READ, -1);
    else
      size += (size_t)n;
  }
  int error = errno;
  if (fd >= 0) ef_close(fd);
  errno = size == file_max ? EFBIG : error;
  *out = (struct expected){strdup(name), bytes, size};
  return n == 0 && out->name;
}

static bool load_all(void) {
  int at = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = at < 0 ? NULL : fdopendir(at);
  if (!d) return perror(directory), false;
  for (struct dirent *e; file_count < files_max && (e = readdir(d));)
    if (e->d_type == DT_REG && !load(at, e->d_name, &files[file_count++])) return perror(e->d_name), false;
  closedir(d);
  return file_count > 0;
}

/* ---- Asking */

static void finish(EV_P_ struct connection *c, const char *trouble) {
  if (trouble) {
    ++failures;
    fprintf(stderr, "hammer_ev: %s: %s\n", c->file ? c->file->name : "-", trouble);
  }
  if (c->stopped) return;
  c->stopped = true;
  ev_io_stop(EV_A_ &c->socket);
  close(c->socket.fd);
  if (--running == 0) ev_break(EV_A_ EVBREAK_ALL);
}

static void ask(EV_P_ struct connection *c) {
  char request[512];
  if (stopping || time_count == times_max) return finish(EV_A_ c, NULL);
  c->file = &files[asked++ % file_count];
  c->got = c->head = 0;
  c->began = ev_time();
  int n = snprintf(request, sizeof request, "GET %s/%s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: hammer\r\n\r\n",
                   prefix, c->file->name);
  if (send(c->socket.fd, request, (size_t)n, MSG_NOSIGNAL) != n) finish(EV_A_ c, "could not be asked for");
}

/* What is wrong with the head, or NULL. */
static const char *check_head(struct connection *c, const char *end) {
  char wanted[64];
  c->head = (size_t)(end - c->in) + 4;
  c->in[c->head - 1] = 0;
  snprintf(wanted, sizeof wanted, "\r\nContent-Length: %zu\r\n", c->file->size);
  if (strncmp(c->in, "HTTP/1.1 200 ", 13) != 0) return "not 200";
  return strstr(c->in, wanted) ? NULL : "another length";
}

static void on_response(EV_P_ ev_io *w, int revents) {
  struct connection *c = w->data;
  (void)revents;
  ssize_t n = recv(w->fd, c->in + c->got, sizeof c->in - c->got, MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return finish(EV_A_ c, n == 0 ? "the server has closed" : strerror(errno));
  c->got += (size_t)n;
  const char *end = c->head ? NULL : memmem(c->in, c->got, "\r\n\r\n", 4), *wrong = end ? check_head(c, end) : NULL;
  if (wrong) return finish(EV_A_ c, wrong);
  if (!c->head || c->got < c->head + c->file->size) return;
  times[time_count++] = (float)(ev_time() - c->began);
  bytes_got += c->file->size;
  if (c->got != c->head + c->file->size || memcmp(c->in + c->head, c->file->bytes, c->file->size) != 0)
    return finish(EV_A_ c, "other bytes");
  ask(EV_A_ c);
}

static bool start_connection(EV_P) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  struct connection *c = connections[running] = calloc(1, sizeof *c);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || !c || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return perror("hammer_ev: connect"), false;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ev_io_init(&c->socket, on_response, fd, EV_READ);
  c->socket.data = c;
  ev_io_start(EV_A_ &c->socket);
  ++running;
  ask(EV_A_ c);
  return true;
}

static void on_signal(EV_P_ ev_signal *w, int revents) {
  (void)EV_A, (void)w, (void)revents;
  stopping = true;
}

static void on_time(EV_P_ ev_timer *w, int revents) {
  (void)EV_A, (void)w, (void)revents;
  stopping = true;
}

/* ---- Telling */

static int by_time(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static int report(void) {
  if (time_count == 0) return fputs("hammer_ev: no request was answered\n", stderr), 1;
  qsort(times, time_count, sizeof *times, by_time);
  printf("requests %zu\nbytes %llu\nfailures %d\n", time_count, bytes_got, failures);
  printf("median_us %.0f\np99_us %.0f\nslowest_us %.0f\n", times[time_count / 2] * 1e6,
         times[time_count * 99 / 100] * 1e6, times[time_count - 1] * 1e6);
  return failures > 0;
}

int main(int argc, char **argv) {
  double seconds = 5;
  for (int option; (option = getopt(argc, argv, "p:d:u:c:s:")) != -1;) {
    if (option == 'p') port = atoi(optarg);
    if (option == 'd') directory = optarg;
    if (option == 'u') prefix = optarg;
    if (option == 'c') connection_count = (size_t)atoi(optarg);
    if (option == 's') seconds = atof(optarg);
  }
  if (!port || !directory || connection_count < 1 || connection_count > connections_max)
    return fputs("usage: hammer_ev -p port -d directory [-u url-prefix] [-c connections] [-s seconds]\n", stderr), 2;
  struct ev_loop *loop = ev_default_loop(0);
  times = malloc(times_max * sizeof *times);
  if (!loop || !times || !load_all()) return 1;
  ev_timer timer;
  ev_signal terminate;
  ev_timer_init(&timer, on_time, seconds, 0);
  ev_timer_start(EV_A_ &timer);
  ev_signal_init(&terminate, on_signal, SIGTERM);
  ev_signal_start(EV_A_ &terminate);
  for (size_t i = 0; i < connection_count; ++i)
    if (!start_connection(EV_A)) return 1;
  if (running) ev_run(EV_A_ 0);
  return report();
}
