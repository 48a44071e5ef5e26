/* SPDX-License-Identifier: BSD-2-Clause */
/* The body of an HTTP/1.x request as it comes in, piece by piece: of known length, or in chunks. */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "http_target.h"

enum {
  http_chunk_line_max = 256, /* bytes of a chunk's size and extensions, else 400 */
  http_trailer_max = 4096    /* of all trailers, which are ignored, else 431 */
};

enum http_body_state {
  http_body_data,
  http_body_done,
  http_body_size, /* the other states are those of chunks */
  http_body_blank,
  http_body_extension,
  http_body_size_end,
  http_body_data_cr,
  http_body_data_end,
  http_body_trailer_start,
  http_body_trailer,
  http_body_trailer_end,
  http_body_last_end
};

struct http_body {
  enum http_body_state state;
  bool chunked;
  uint64_t left; /* of the body, or of the chunk */
  size_t line;   /* bytes of the line, or of the trailers, so far */
};

static inline void http_body_begin(struct http_body *b, const struct http_request *r) {
  *b = (struct http_body){.chunked = r->chunked, .left = r->length};
  b->state = b->chunked ? http_body_size : b->left ? http_body_data : http_body_done;
}

/* What follows byte c of a chunk's first line. */
static inline int http_body_size_byte(struct http_body *b, char c) {
  if (++b->line > http_chunk_line_max) return -400;
  int digit = http_hex(c);
  if (b->state == http_body_size && digit >= 0) {
    if (b->left >> 59) return -413;
    b->left = b->left * 16 + (uint64_t)digit;
  } else if (b->line == 1) {
    return -400; /* no digit at all */
  } else if (c == '\r') {
    b->state = http_body_size_end;
  } else if (((unsigned char)c < ' ' && c != '\t') || c == 0x7f) {
    return -400;
  } else if (c == ';') {
    b->state = http_body_extension;
  } else if (b->state != http_body_extension) { /* blanks and nothing else: "5 5" is two sizes to somebody */
    if (c != ' ' && c != '\t') return -400;
    b->state = http_body_blank;
  }
  return 1;
}

/* What follows byte c of the framing. 1, or minus a status. */
static inline int http_body_byte(struct http_body *b, char c) {
  switch (b->state) {
  case http_body_size:
  case http_body_blank:
  case http_body_extension:
    return http_body_size_byte(b, c);
  case http_body_size_end:
    b->state = b->left ? http_body_data : http_body_trailer_start;
    b->line = 0;
    return c == '\n' ? 1 : -400;
  case http_body_data_cr:
    b->state = http_body_data_end;
    return c == '\r' ? 1 : -400;
  case http_body_data_end:
    b->state = http_body_size;
    return c == '\n' ? 1 : -400;
  case http_body_trailer_start:
  case http_body_trailer:
    if (++b->line > http_trailer_max) return -431;
    if (c == '\n') return -400;
    if (c == '\r')
      b->state = b->state == http_body_trailer_start ? http_body_last_end : http_body_trailer_end;
    else
      b->state = http_body_trailer;
    return 1;
  case http_body_trailer_end:
    b->state = http_body_trailer_start;
    return c == '\n' ? 1 : -400;
  default:
    b->state = http_body_done;
    return c == '\n' ? 1 : -400;
  }
}

/* Skips framing at the start of in. 1: *data are the bytes of the body that are next, take some with http_body_take;
 * 0: more input is needed; 2: the body is over, and in is what follows it; or minus the status to answer with. */
static inline int http_body_next(struct http_body *b, struct http_text *in, struct http_text *data) {
  while (in->len > 0 && b->state != http_body_data && b->state != http_body_done) {
    int r = http_body_byte(b, *in->at);
    if (r < 0) return r;
    ++in->at;
    --in->len;
  }
  if (b->state == http_body_done) return 2;
  if (in->len == 0) return 0;
  *data = (struct http_text){in->at, b->left < in->len ? (size_t)b->left : in->len};
  return 1;
}

static inline void http_body_take(struct http_body *b, struct http_text *in, size_t n) {
  in->at += n;
  in->len -= n;
  b->left -= n;
  if (b->left == 0) b->state = b->chunked ? http_body_data_cr : http_body_done;
}

#endif
