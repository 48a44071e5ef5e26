/* SPDX-License-Identifier: BSD-2-Clause */
/* The head of an HTTP/1.x request, taken strictly (RFC 9112): what two readers could understand differently is
 * refused. Shared by the example servers; nothing is copied, texts point into the caller's buffer. */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

enum {
  http_head_max = 8192,   /* bytes of a head, else 431 */
  http_target_max = 4096, /* of its target, else 414 */
  http_fields_max = 100   /* else 431 */
};

struct http_text {
  const char *at; /* NULL: absent */
  size_t len;
};

enum http_method { http_get, http_head, http_put, http_known, http_unknown };

/* The fields the servers look at. The first three may come once only. */
enum http_field {
  http_host,
  http_content_length,
  http_transfer_encoding,
  http_connection,
  http_expect,
  http_content_range,
  http_range,
  http_if_range,
  http_if_modified_since,
  http_if_none_match,
  http_referer,
  http_user_agent,
  http_fields
};

struct http_request {
  struct http_text line, target;
  struct http_text field[http_fields];
  enum http_method method;
  int minor;       /* of HTTP/1.minor */
  bool keep_alive; /* may another request follow? */
  bool closes;     /* the client said so: whatever else it says */
  bool chunked;
  uint64_t length; /* of the body; as many bits as there are if it is longer than that; 0 if there is none */
};

static inline bool http_is(struct http_text t, const char *word) {
  return t.at && t.len == strlen(word) && strncasecmp(t.at, word, t.len) == 0;
}

static inline bool http_is_token(struct http_text t) {
  if (t.len == 0) return false;
  for (size_t i = 0; i < t.len; ++i) {
    unsigned char c = (unsigned char)t.at[i];
    if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c)) return false;
  }
  return true;
}

static inline struct http_text http_trim(struct http_text t) {
  while (t.len > 0 && (t.at[0] == ' ' || t.at[0] == '\t')) ++t.at, --t.len;
  while (t.len > 0 && (t.at[t.len - 1] == ' ' || t.at[t.len - 1] == '\t')) --t.len;
  return t;
}

/* Decimal digits and nothing else; what does not fit becomes the greatest number. */
static inline bool http_number(struct http_text t, uint64_t *out) {
  *out = 0;
  for (size_t i = 0; i < t.len; ++i) {
    if (t.at[i] < '0' || t.at[i] > '9') return false;
    uint64_t digit = (uint64_t)(t.at[i] - '0');
    *out = *out > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *out * 10 + digit;
  }
  return t.len > 0;
}

/* Takes the next element of a comma-separated list. */
static inline bool http_next_element(struct http_text *list, struct http_text *element) {
  if (list->len == 0) return false;
  const char *comma = memchr(list->at, ',', list->len);
  size_t n = comma ? (size_t)(comma - list->at) : list->len;
  *element = http_trim((struct http_text){list->at, n});
  n += comma != NULL;
  list->at += n;
  list->len -= n;
  return true;
}

/* ---- Inside; http_parse is below */

/* Takes the next line, gives it without its CRLF: 1, 0 it is not complete, -400. */
static inline int http_next_line(struct http_text *rest, struct http_text *line) {
  const char *end = memchr(rest->at, '\n', rest->len);
  if (!end) return 0;
  size_t n = (size_t)(end - rest->at);
  if (n == 0 || end[-1] != '\r') return -400;
  *line = (struct http_text){rest->at, n - 1};
  rest->at += n + 1;
  rest->len -= n + 1;
  return memchr(line->at, '\r', line->len) || memchr(line->at, 0, line->len) ? -400 : 1;
}

static inline enum http_method http_method_of(struct http_text word) {
  static const char *const known[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
    if (word.len == strlen(known[i]) && memcmp(word.at, known[i], word.len) == 0)
      return i < http_known ? (enum http_method)i : http_known;
  return http_unknown;
}

static inline bool http_is_digit(char c) { return c >= '0' && c <= '9'; }

static inline int http_take_line(struct http_request *r, struct http_text line) {
  const char *first = memchr(line.at, ' ', line.len), *last = memrchr(line.at, ' ', line.len);
  if (!first || first == last) return -400;
  struct http_text method = {line.at, (size_t)(first - line.at)};
  const char *version = last + 1;
  if (line.at + line.len - version != 8 || memcmp(version, "HTTP/", 5) != 0 || !http_is_digit(version[5]) ||
      version[6] != '.' || !http_is_digit(version[7]) || !http_is_token(method))
    return -400;
  r->target = (struct http_text){first + 1, (size_t)(last - first - 1)};
  if (version[5] != '1') return -505;
  if (r->target.len > http_target_max) return -414;
  r->minor = version[7] - '0';
  r->keep_alive = r->minor > 0;
  r->method = http_method_of(method);
  return 1;
}

static inline int http_take_field(struct http_request *r, struct http_text line) {
  static const char *const names[http_fields] = {
      "host",  "content-length", "transfer-encoding", "connection",    "expect",  "content-range",
      "range", "if-range",       "if-modified-since", "if-none-match", "referer", "user-agent"};
  const char *colon = memchr(line.at, ':', line.len);
  if (!colon) return -400;
  struct http_text name = {line.at, (size_t)(colon - line.at)};
  struct http_text value = http_trim((struct http_text){colon + 1, line.len - name.len - 1});
  if (!http_is_token(name)) return -400; /* also a folded line, and a space before the colon */
  for (size_t i = 0; i < value.len; ++i)
    if (((unsigned char)value.at[i] < ' ' && value.at[i] != '\t') || value.at[i] == 0x7f) return -400;
  int i = 0;
  while (i < http_fields && !http_is(name, names[i])) ++i;
  if (i == http_fields) return 1;
  if (r->field[i].at && i < http_connection) return -400;
  r->field[i] = value;
  for (struct http_text element; i == http_connection && http_next_element(&value, &element);) {
    r->closes |= http_is(element, "close");
    r->keep_alive = !r->closes && (r->keep_alive || http_is(element, "keep-alive"));
  }
  return 1;
}

/* What the fields mean together. */
static inline int http_frame(struct http_request *r) {
  struct http_text coding = r->field[http_transfer_encoding];
  if (r->minor > 0 && !r->field[http_host].at) return -400;
  if (r->field[http_content_length].at && (coding.at || !http_number(r->field[http_content_length], &r->length)))
    return -400;
  if (!coding.at) return 1;
  if (r->minor == 0) return -400;
  r->chunked = http_is(coding, "chunked");
  return r->chunked ? 1 : -501;
}

static inline int http_parse_lines(struct http_request *r, struct http_text *rest) {
  struct http_text line;
  int got;
  while ((got = http_next_line(rest, &line)) == 1 && line.len == 0) {} /* empty lines before a request are let pass */
  if (got == 1) {
    r->line = line;
    got = http_take_line(r, line);
  } else {
    r->line = *rest;
  }
  for (int fields = 0; got == 1; ++fields) {
    if ((got = http_next_line(rest, &line)) != 1) break;
    if (line.len == 0) return http_frame(r);
    got = fields == http_fields_max ? -431 : http_take_field(r, line);
  }
  if (r->line.len > http_target_max + 64) r->line.len = http_target_max + 64;
  return got;
}

/* Reads the head at the start of the buffer. Its length; 0 there is more to come; or minus the status to answer with.
 * The line is set in every case, for the log. */
static inline int http_parse(struct http_request *r, const char *buffer, size_t len) {
  if (len > http_head_max) len = http_head_max;
  memset(r, 0, sizeof *r);
  struct http_text rest = {buffer, len};
  int got = http_parse_lines(r, &rest);
  if (got == 1) return (int)(rest.at - buffer);
  if (got == 0 && len == http_head_max) {
    size_t from = (size_t)(r->line.at - buffer);
    got = memchr(r->line.at, '\n', len - from) ? -431 : -414;
  }
  if (got < 0) r->keep_alive = false; /* nobody knows where the next request begins */
  return got;
}

static inline const char *http_reason(int status) {
  static const struct {
    int status;
    const char *reason;
  } reasons[] = {{100, "Continue"},
                 {200, "OK"},
                 {201, "Created"},
                 {204, "No Content"},
                 {206, "Partial Content"},
                 {301, "Moved Permanently"},
                 {304, "Not Modified"},
                 {400, "Bad Request"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {408, "Request Timeout"},
                 {411, "Length Required"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {416, "Range Not Satisfiable"},
                 {417, "Expectation Failed"},
                 {431, "Request Header Fields Too Large"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {503, "Service Unavailable"},
                 {505, "HTTP Version Not Supported"},
                 {507, "Insufficient Storage"}};
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; ++i)
    if (reasons[i].status == status) return reasons[i].reason;
  return "Unknown";
}

#endif
