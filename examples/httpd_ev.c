/* SPDX-License-Identifier: BSD-2-Clause */
/* A small static-file HTTP/1.1 server on libev. No file makes its loop wait: files are opened in the background and
 * read with ef_peek while they are in memory, with an event when they are not; the access log is fire and forget.
 * GET and HEAD, keep-alive, pipelining, byte ranges; memory and time are bounded for each connection. */
#include "httpd_connection.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/resource.h>

enum {
  connections_max = 1000,
  descriptors_each = 3, /* socket, file, and the look at its name */
  descriptors_spare = 64,
  accepts_a_turn = 64
};
static const double stop_seconds = 5;

struct options {
  const char *address, *port, *root, *log;
  double idle_seconds;
  bool measure;
};

static ev_io listener;
static ev_prepare turn_end;
static ev_check turn_begin;
static ev_tstamp turn_began, turn_longest;
static long turn_sleeps, sleeps;
static ev_timer pause_timer, stop_timer;
static ev_signal interrupt, terminate;

/* ---- Stopping: no new connections, the last responses, the rest of the log */

static void drop_connections(bool idle_only) {
  for (struct connection *c = server.connections, *next; c; c = next) {
    next = c->next;
    if (!idle_only || (c->phase == phase_reading && c->in_bytes == 0) || c->phase == phase_lingering) drop(c);
  }
}

static void on_stop_timeout(EV_P_ ev_timer *w, int revents) {
  (void)EV_A, (void)w, (void)revents;
  drop_connections(false);
}

static void on_signal(EV_P_ ev_signal *w, int revents) {
  (void)w, (void)revents;
  if (server.stopping) return drop_connections(false); /* a second signal is impatient */
  server.stopping = true;
  ev_io_stop(EV_A_ &listener);
  ev_timer_stop(EV_A_ &pause_timer);
  ev_timer_set(&stop_timer, stop_seconds, 0);
  ev_timer_start(EV_A_ &stop_timer);
  ++server.count; /* held until all have been looked at */
  drop_connections(true);
  server_connection_gone();
}

static void server_connection_gone(void) {
  --server.count;
  if (!server.stopping)
    ev_io_start(server.loop, &listener);
  else if (server.count == 0)
    log_close(server.loop, &server.log);
}

/* ---- Listening */

/* No descriptors, no memory: of no use to ask again at once. */
static void pause_listening(EV_P) {
  ev_io_stop(EV_A_ &listener);
  ev_timer_set(&pause_timer, 0.2, 0);
  ev_timer_start(EV_A_ &pause_timer);
}

static void on_pause_over(EV_P_ ev_timer *w, int revents) {
  (void)w, (void)revents;
  if (server.count < server.most) ev_io_start(EV_A_ &listener);
}

static void on_listener(EV_P_ ev_io *w, int revents) {
  (void)revents;
  for (int i = 0; i < accepts_a_turn; ++i) {
    if (server.count == server.most) return ev_io_stop(EV_A_ w); /* until one has gone; the others wait in the queue */
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int fd = accept4(w->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0) {
      if (errno == ECONNABORTED || errno == EINTR) continue;
      if (errno != EAGAIN) pause_listening(EV_A);
      return;
    }
    char peer[peer_size] = "-";
    getnameinfo((struct sockaddr *)&from, len, peer, sizeof peer, NULL, 0, NI_NUMERICHOST);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ++server.count;
    ++server.connected;
    connection_begin(fd, peer);
  }
}

/* A listening socket, or -1 after saying why. The port is what was asked for, or what was free. */
static int listen_on(const struct options *o, int *port) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV},
                  *found;
  int error = getaddrinfo(o->address, o->port, &hints, &found), on = 1;
  if (error) {
    fprintf(stderr, "httpd_ev: %s port %s: %s\n", o->address, o->port, gai_strerror(error));
    return -1;
  }
  struct sockaddr_storage bound;
  socklen_t len = sizeof bound;
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  bool good = fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 1024) == 0 &&
              getsockname(fd, (struct sockaddr *)&bound, &len) == 0;
  if (!good) fprintf(stderr, "httpd_ev: %s port %s: %s\n", o->address, o->port, strerror(errno));
  if (!good && fd >= 0) close(fd);
  freeaddrinfo(found);
  *port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                            : ((struct sockaddr_in *)&bound)->sin_port);
  return good ? fd : -1;
}

/* ---- A turn of the loop: what it does between two polls, and whether it ever slept there */

static long slept(void) {
  struct rusage usage = {0};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

static void on_turn_begin(EV_P_ ev_check *w, int revents) {
  (void)EV_A, (void)w, (void)revents;
  turn_began = ev_time();
  turn_sleeps = slept();
}

static void on_turn_end(EV_P_ ev_prepare *w, int revents) {
  (void)EV_A, (void)w, (void)revents;
  if (turn_began == 0) return;
  sleeps += slept() - turn_sleeps;
  ev_tstamp turn = ev_time() - turn_began;
  if (turn > turn_longest) turn_longest = turn;
}

static void measure_turns(EV_P) {
  ev_check_init(&turn_begin, on_turn_begin);
  ev_set_priority(&turn_begin, EV_MAXPRI);
  ev_check_start(EV_A_ &turn_begin);
  ev_prepare_init(&turn_end, on_turn_end);
  ev_set_priority(&turn_end, EV_MINPRI);
  ev_prepare_start(EV_A_ &turn_end);
}

/* ---- Start and end */

static int usage(FILE *to, int code) {
  fputs("usage: httpd_ev [-a address] [-p port] [-r root] [-l access-log] [-t idle-seconds] [-m]\n"
        "Serves the files below root (.) on address (127.0.0.1) and port (8080; 0 = any that is free) until SIGINT or\n"
        "SIGTERM. Links are followed as long as they stay below root. -m measures the turns of the loop.\n",
        to);
  return code;
}

/* 0, or the exit code plus one. */
static int read_options(int argc, char **argv, struct options *o) {
  for (int option; (option = getopt(argc, argv, "a:p:r:l:t:mh")) != -1;) {
    switch (option) {
    case 'a':
      o->address = optarg;
      break;
    case 'p':
      o->port = optarg;
      break;
    case 'r':
      o->root = optarg;
      break;
    case 'l':
      o->log = optarg;
      break;
    case 't':
      o->idle_seconds = atof(optarg);
      break;
    case 'm':
      o->measure = true;
      break;
    case 'h':
      return usage(stdout, 1);
    default:
      return usage(stderr, 3);
    }
  }
  return optind < argc || !(o->idle_seconds > 0) ? usage(stderr, 3) : 0;
}

static int connections_allowed(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) return connections_max;
  long long most = ((long long)limit.rlim_cur - descriptors_spare) / descriptors_each;
  return most < 1 ? 1 : most > connections_max ? connections_max : (int)most;
}

static bool start(EV_P_ const struct options *o) {
  int port;
  server.loop = EV_A;
  server.idle_seconds = o->idle_seconds;
  server.most = connections_allowed();
  if (!(server.port = ef_ev_port(EV_A))) return perror("httpd_ev: efio"), false;
  server.root = open(o->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (server.root < 0) return perror(o->root), false;
  if (o->log && !log_open(EV_A_ &server.log, o->log)) return perror(o->log), false;
  int fd = listen_on(o, &port);
  if (fd < 0) return false;
  ev_io_init(&listener, on_listener, fd, EV_READ);
  ev_io_start(EV_A_ &listener);
  ev_init(&pause_timer, on_pause_over);
  ev_init(&stop_timer, on_stop_timeout);
  ev_signal_init(&interrupt, on_signal, SIGINT);
  ev_signal_init(&terminate, on_signal, SIGTERM);
  ev_signal_start(EV_A_ &interrupt);
  ev_signal_start(EV_A_ &terminate);
  if (o->measure) measure_turns(EV_A);
  printf("httpd_ev: listening on %s port %d\n", o->address, port);
  fflush(stdout);
  return true;
}

#define N(count) (unsigned long long)(count)
static void print_statistics(void) {
  printf("httpd_ev: %llu connections, %llu requests (2xx %llu, 3xx %llu, 4xx %llu, 5xx %llu), %llu body bytes\n",
         N(server.connected), N(server.requests), N(server.classes[2]), N(server.classes[3]), N(server.classes[4]),
         N(server.classes[5]), N(server.bytes));
  printf("httpd_ev: reads answered from memory %llu, waited for %llu, bytes read by the library's threads %llu "
         "(the rest the kernel had read ahead)\n",
         N(server.read_hits), N(server.read_waits), N(server.read_background));
  printf("httpd_ev: access log lines %llu, dropped %llu; time-outs %llu\n", N(server.log.lines), N(server.log.dropped),
         N(server.timeouts));
  if (turn_began > 0)
    printf(
        "httpd_ev: the loop slept %ld times outside of its poll; its longest turn, preemption included, took %.0f us\n",
        sleeps, turn_longest * 1e6);
}

int main(int argc, char **argv) {
  struct options o = {.address = "127.0.0.1", .port = "8080", .root = ".", .idle_seconds = 15};
  int stop = read_options(argc, argv, &o);
  if (stop) return stop - 1;
  struct ev_loop *loop = ev_default_loop(0);
  if (!loop || !start(EV_A_ &o)) return 1;
  ev_run(EV_A_ 0); /* on_signal begins the end, log_close ends it */
  print_statistics();
  close(listener.fd);
  close(server.root);
  ev_loop_destroy(EV_A);
  return server.log.error ? 1 : 0;
}
