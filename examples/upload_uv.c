/* SPDX-License-Identifier: BSD-2-Clause */
/* A libuv server that stores the bodies of PUT requests as files of one directory: many at a time, no faster than the
 * disk, each whole and on stable storage before it is answered 201 or, if it replaced a file, 204. */
#include "upload_connection.h"

#include <netinet/in.h>
#include <signal.h>

enum { connections_max = 256, stop_ms = 5000 };

struct options {
  const char *address, *directory;
  int port;
};

static uv_tcp_t listener;
static uv_timer_t stop_timer;
static uv_signal_t interrupt, terminate;
static bool waiting; /* a connection waits for one of ours to go */

/* ---- Listening */

static void accept_one(uv_stream_t *l) {
  int error = connection_begin(l);
  if (error == UV_ENOMEM) waiting = true;
  if (error) fprintf(stderr, "upload_uv: accept: %s\n", uv_strerror(error));
}

/* libuv accepts ahead by one: without uv_accept it holds the others back. */
static void on_connection(uv_stream_t *l, int status) {
  if (status < 0 || server.stopping) return;
  if (server.count < connections_max)
    accept_one(l);
  else
    waiting = true;
}

static void server_connection_gone(void) {
  --server.count;
  if (!waiting || server.stopping) return;
  waiting = false;
  accept_one((uv_stream_t *)&listener);
}

/* ---- Stopping: uploads that are on their way have a little time, the others go */

static void drop_connections(bool idle_only) {
  for (struct connection *c = server.connections, *next; c; c = next) {
    next = c->next;
    if (!idle_only || (c->phase == phase_head && c->end == 0) || c->phase == phase_lingering) drop(c);
  }
}

static void on_stop_timeout(uv_timer_t *t) {
  (void)t;
  drop_connections(false);
}

static void on_signal(uv_signal_t *s, int number) {
  (void)s, (void)number;
  if (server.stopping) return drop_connections(false);
  server.stopping = true;
  uv_close((uv_handle_t *)&listener, NULL);
  drop_connections(true);
  uv_timer_start(&stop_timer, on_stop_timeout, stop_ms, 0);
}

/* ---- Start and end */

static int usage(FILE *to, int code) {
  fputs("usage: upload_uv [-a address] [-p port] [-r directory] [-m body-bytes-max] [-t idle-seconds]\n"
        "Stores what is PUT to /NAME on address (127.0.0.1) and port (8081; 0 = any that is free) as directory/NAME\n"
        "until SIGINT or SIGTERM. Names are of one component and do not begin with a dot.\n",
        to);
  return code;
}

/* 0: not a time that one could wait for. */
static uint64_t milliseconds(double seconds) { return seconds > 0 && seconds < 1e9 ? (uint64_t)(seconds * 1000) : 0; }

/* 0, or the exit code plus one. */
static int read_options(int argc, char **argv, struct options *o) {
  for (int option; (option = getopt(argc, argv, "a:p:r:m:t:h")) != -1;) {
    switch (option) {
    case 'a':
      o->address = optarg;
      break;
    case 'p':
      o->port = atoi(optarg);
      break;
    case 'r':
      o->directory = optarg;
      break;
    case 'm':
      server.body_max = strtoull(optarg, NULL, 10);
      break;
    case 't':
      server.idle_ms = milliseconds(atof(optarg));
      break;
    case 'h':
      return usage(stdout, 1);
    default:
      return usage(stderr, 3);
    }
  }
  return optind < argc || o->port < 0 || o->port > 65535 || !server.idle_ms ? usage(stderr, 3) : 0;
}

static int open_directory(uv_loop_t *loop, const char *path) {
  uv_fs_t r;
  int fd = uv_fs_open(loop, &r, path, UV_FS_O_RDONLY | UV_FS_O_DIRECTORY, 0, NULL);
  uv_fs_req_cleanup(&r);
  server.directory = (struct store_directory){.loop = loop, .fd = fd, .path = path, .started_ns = uv_hrtime()};
  return fd < 0 ? fd : 0;
}

static int listen_on(uv_loop_t *loop, const struct options *o, int *port) {
  struct sockaddr_storage address;
  int len = sizeof address;
  int error = uv_ip4_addr(o->address, o->port, (struct sockaddr_in *)&address);
  if (error) error = uv_ip6_addr(o->address, o->port, (struct sockaddr_in6 *)&address);
  if (!error) error = uv_tcp_init(loop, &listener);
  if (!error) error = uv_tcp_bind(&listener, (struct sockaddr *)&address, 0);
  if (!error) error = uv_listen((uv_stream_t *)&listener, 128, on_connection);
  if (!error) error = uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &len);
  *port = ntohs(((struct sockaddr_in *)&address)->sin_port); /* at the same place for both families */
  return error;
}

static bool start(uv_loop_t *loop, const struct options *o) {
  int port, error = open_directory(loop, o->directory);
  if (error) return fprintf(stderr, "upload_uv: %s: %s\n", o->directory, uv_strerror(error)), false;
  server.loop = loop;
  error = listen_on(loop, o, &port);
  if (error) return fprintf(stderr, "upload_uv: %s port %d: %s\n", o->address, o->port, uv_strerror(error)), false;
  uv_timer_init(loop, &stop_timer);
  uv_signal_init(loop, &interrupt);
  uv_signal_init(loop, &terminate);
  uv_signal_start(&interrupt, on_signal, SIGINT);
  uv_signal_start(&terminate, on_signal, SIGTERM);
  uv_unref((uv_handle_t *)&stop_timer); /* the listener and the connections keep the loop running, these do not */
  uv_unref((uv_handle_t *)&interrupt);
  uv_unref((uv_handle_t *)&terminate);
  printf("upload_uv: listening on %s port %d\n", o->address, port);
  fflush(stdout);
  return true;
}

#define N(count) (unsigned long long)(count)
static void print_statistics(void) {
  printf("upload_uv: %llu connections, %llu requests: %llu created, %llu replaced, %llu refused, %llu failed; "
         "%llu bytes stored\n",
         N(server.connected), N(server.requests), N(server.created), N(server.replaced), N(server.refused),
         N(server.failed), N(server.bytes));
}

int main(int argc, char **argv) {
  struct options o = {.address = "127.0.0.1", .port = 8081, .directory = "."};
  server.body_max = UINT64_C(1) << 30;
  server.idle_ms = 30000;
  int stop = read_options(argc, argv, &o);
  if (stop) return stop - 1;
  uv_loop_t *loop = uv_default_loop();
  signal(SIGPIPE, SIG_IGN);
  if (!loop || !start(loop, &o)) return 1;
  uv_run(loop, UV_RUN_DEFAULT); /* on_signal begins the end; it is over when the last handle has gone */
  print_statistics();
  uv_close((uv_handle_t *)&stop_timer, NULL);
  uv_close((uv_handle_t *)&interrupt, NULL);
  uv_close((uv_handle_t *)&terminate, NULL);
  uv_run(loop, UV_RUN_DEFAULT);
  close(server.directory.fd);
  int error = uv_loop_close(loop);
  if (error) fprintf(stderr, "upload_uv: the loop is not empty: %s\n", uv_strerror(error));
  return error != 0;
}
