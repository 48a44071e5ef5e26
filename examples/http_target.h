/* SPDX-License-Identifier: BSD-2-Clause */
/* What a request asks for: the path of its target as a relative file name that cannot climb, byte ranges, dates, and
 * the media type a name stands for. */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "http_message.h"

#include <stdio.h>
#include <time.h>

struct http_target {
  struct http_text path, query; /* as sent; the query with its question mark */
};

/* Takes "/path?query" or "http://host/path?query" apart. False: 400. */
static inline bool http_split(struct http_text t, struct http_target *out) {
  if (t.len >= 7 && strncasecmp(t.at, "http://", 7) == 0) {
    size_t host = 7;
    while (host < t.len && t.at[host] != '/' && t.at[host] != '?') ++host;
    if (host == 7) return false;
    t.at += host;
    t.len -= host;
  } else if (t.len == 0 || t.at[0] != '/') {
    return false;
  }
  const char *mark = memchr(t.at, '?', t.len);
  size_t n = mark ? (size_t)(mark - t.at) : t.len;
  out->path = n > 0 ? (struct http_text){t.at, n} : (struct http_text){"/", 1};
  out->query = (struct http_text){t.at + n, t.len - n};
  for (size_t i = 0; i < t.len; ++i)
    if (t.at[i] <= ' ' || t.at[i] > '~' || strchr("\"#<>\\^`{|}", t.at[i])) return false;
  return true;
}

static inline int http_hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes into out, which holds t.len + 1 bytes. False: broken, or a NUL. */
static inline bool http_decode(struct http_text t, char *out) {
  for (size_t i = 0; i < t.len; ++i) {
    int c = (unsigned char)t.at[i];
    if (c == '%') {
      int high = i + 2 < t.len ? http_hex(t.at[i + 1]) : -1, low = high < 0 ? -1 : http_hex(t.at[i + 2]);
      if (low < 0) return false;
      c = high * 16 + low;
      i += 2;
    }
    if (c == 0) return false;
    *out++ = (char)c;
  }
  *out = 0;
  return true;
}

/* Makes an absolute path relative, in place: no empty, "." and ".." segments are left. False: it climbed above its
 * start. *directory: it ended in a slash or a dot segment. */
static inline bool http_normalise(char *path, bool *directory) {
  char *to = path;
  *directory = true;
  for (const char *from = path; *from;) {
    from += strspn(from, "/");
    size_t n = strcspn(from, "/");
    *directory = n == 0 || (from[0] == '.' && (n == 1 || (n == 2 && from[1] == '.')));
    if (n == 2 && *directory) {
      if (to == path) return false;
      while (to > path && *--to != '/') {}
    } else if (n > 0 && !*directory) {
      if (to > path) *to++ = '/';
      memmove(to, from, n);
      to += n;
    }
    from += n;
    *directory |= *from == '/';
  }
  *to = 0;
  return true;
}

/* The file a path names, relative to the root; out holds http_target_max + 16 bytes. Directories get their index, and
 * *index is set. False: 400. Decoding comes first, so that %2e%2e and %2f are what they stand for. */
static inline bool http_file_name(struct http_text path, char *out, bool *index) {
  if (path.len > http_target_max || !http_decode(path, out) || !http_normalise(out, index)) return false;
  if (*index) strcat(out, *out ? "/index.html" : "index.html");
  return true;
}

static inline const char *http_media_type(const char *name) {
  static const char *const types[][2] = {{"html", "text/html; charset=utf-8"},
                                         {"htm", "text/html; charset=utf-8"},
                                         {"css", "text/css; charset=utf-8"},
                                         {"js", "text/javascript"},
                                         {"json", "application/json"},
                                         {"txt", "text/plain; charset=utf-8"},
                                         {"md", "text/markdown"},
                                         {"xml", "application/xml"},
                                         {"svg", "image/svg+xml"},
                                         {"png", "image/png"},
                                         {"jpg", "image/jpeg"},
                                         {"jpeg", "image/jpeg"},
                                         {"gif", "image/gif"},
                                         {"webp", "image/webp"},
                                         {"ico", "image/x-icon"},
                                         {"woff2", "font/woff2"},
                                         {"wasm", "application/wasm"},
                                         {"pdf", "application/pdf"},
                                         {"gz", "application/gzip"},
                                         {"zip", "application/zip"},
                                         {"mp3", "audio/mpeg"},
                                         {"mp4", "video/mp4"},
                                         {"webm", "video/webm"}};
  const char *base = strrchr(name, '/'), *dot = strrchr(base ? base : name, '.');
  for (size_t i = 0; dot && i < sizeof types / sizeof *types; ++i)
    if (strcasecmp(dot + 1, types[i][0]) == 0) return types[i][1];
  return "application/octet-stream";
}

/* One byte range of a file of that size: 206 and [*first, *last], 416, or 200 the field is not for us: absent, of
 * another unit, several ranges, or nonsense, which all mean the whole file. */
static inline int http_range_of(struct http_text t, uint64_t size, uint64_t *first, uint64_t *last) {
  if (!t.at || t.len < 6 || strncasecmp(t.at, "bytes=", 6) != 0) return 200;
  t = http_trim((struct http_text){t.at + 6, t.len - 6});
  const char *dash = memchr(t.at, '-', t.len);
  if (!dash) return 200;
  struct http_text low = {t.at, (size_t)(dash - t.at)}, high = {dash + 1, t.len - low.len - 1};
  if (low.len == 0) { /* the last so many bytes */
    if (!http_number(high, last)) return 200;
    if (*last == 0 || size == 0) return 416;
    *first = *last < size ? size - *last : 0;
    *last = size - 1;
    return 206;
  }
  if (!http_number(low, first)) return 200;
  *last = UINT64_MAX;
  if (high.len > 0 && (!http_number(high, last) || *last < *first)) return 200;
  if (*first >= size) return 416;
  if (*last >= size) *last = size - 1;
  return 206;
}

enum { http_date_size = 32 };

static inline const char *http_date(time_t t, char out[http_date_size]) {
  struct tm tm;
  if (!gmtime_r(&t, &tm) || !strftime(out, http_date_size, "%a, %d %b %Y %H:%M:%S GMT", &tm)) out[0] = 0;
  return out;
}

/* The three forms of RFC 9110; -1: none of them. */
static inline time_t http_parse_date(struct http_text t) {
  static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"};
  char copy[64];
  if (!t.at || t.len >= sizeof copy) return -1;
  memcpy(copy, t.at, t.len);
  copy[t.len] = 0;
  for (size_t i = 0; i < sizeof forms / sizeof *forms; ++i) {
    struct tm tm = {0};
    const char *end = strptime(copy, forms[i], &tm);
    if (end && !*end) return timegm(&tm);
  }
  return -1;
}

#endif
