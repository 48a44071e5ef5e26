/* SPDX-License-Identifier: BSD-2-Clause */
/* The access log of httpd_ev, in the combined format: a line is one ef_write, which copies it and returns. Nobody
 * waits for the disk; a line the library has no room for is counted, not waited for. */
#ifndef HTTPD_LOG_H
#define HTTPD_LOG_H

#include "http_message.h"

#include <efio_ev.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

struct access_log {
  bool open;
  int fd, error;
  uint64_t lines, dropped;
  ef_ev_io watcher;
};

static void log_event(EV_P_ ef_ev_io *w, int revents) {
  struct access_log *log = w->data;
  if (w->error && w->error != log->error) fprintf(stderr, "httpd_ev: access log: %s\n", strerror(w->error));
  if (w->error) log->error = w->error;
  if (revents & (EF_EV_CLOSE | EV_ERROR)) ev_break(EV_A_ EVBREAK_ALL);
}

/* False: errno. It waits for the open, so it is for the time before the loop runs; what goes wrong later is told by
 * the watcher. */
static bool log_open(EV_P_ struct access_log *log, const char *path) {
  struct stat st;
  log->fd = ef_ev_open(EV_A_ path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log->fd < 0 || ef_wait(log->fd, EF_OPEN, -1) < 0 || ef_fstat(log->fd, &st) < 0) return false;
  log->open = true;
  ef_ev_io_init(&log->watcher, log_event, log->fd, EF_EV_ERROR | EF_EV_CLOSE);
  log->watcher.data = log;
  ef_ev_io_start(EV_A_ &log->watcher);
  return true;
}

/* Everything accepted is written out, then the loop is left. */
static void log_close(EV_P_ struct access_log *log) {
  if (!log->open)
    ev_break(EV_A_ EVBREAK_ALL);
  else
    ef_close(log->fd);
  log->open = false;
}

/* A field as far as it goes, with everything that could break the line written as \xHH. */
static char *log_field(char *to, struct http_text t, size_t most) {
  static const char digits[] = "0123456789abcdef";
  if (!t.at || t.len == 0) t = (struct http_text){"-", 1};
  for (size_t i = 0; i < t.len && i < most; ++i) {
    unsigned char c = (unsigned char)t.at[i];
    if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
      *to++ = (char)c;
    } else {
      memcpy(to, "\\x", 2);
      to[2] = digits[c >> 4];
      to[3] = digits[c & 15];
      to += 4;
    }
  }
  return to;
}

static const char *log_time(time_t now) {
  static char text[32];
  static time_t shown = -1;
  struct tm tm;
  if (now != shown && gmtime_r(&now, &tm)) strftime(text, sizeof text, "%d/%b/%Y:%H:%M:%S +0000", &tm);
  shown = now;
  return text;
}

static void log_request(struct access_log *log, time_t now, const char *peer, const struct http_request *r, int status,
                        uint64_t bytes) {
  enum { line_most = 2048, field_most = 512 };
  static char text[4 * (line_most + 2 * field_most) + 256];
  if (!log->open) return;
  char *to = text + sprintf(text, "%.64s - - [%s] \"", peer, log_time(now));
  to = log_field(to, r->line, line_most);
  to += sprintf(to, "\" %d %llu \"", status, (unsigned long long)bytes);
  to = log_field(to, r->field[http_referer], field_most);
  to = log_field((memcpy(to, "\" \"", 3), to + 3), r->field[http_user_agent], field_most);
  memcpy(to, "\"\n", 2);
  if (ef_write(log->fd, text, (size_t)(to + 2 - text)) < 0)
    ++log->dropped;
  else
    ++log->lines;
}

#endif
