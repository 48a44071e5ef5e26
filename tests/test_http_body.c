/* SPDX-License-Identifier: BSD-2-Clause */
/* Heads and bodies as the example servers read them: however a request is cut into pieces, it means the same. */
#include "../examples/http_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const char chunked[] = "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "5 \t;name=\"value\";b\r\nhello\r\n1\r\n,\r\n0007 \r\n world!\r\n"
                              "0\r\nTrailer: x\r\n\r\nGET";

struct received {
  char bytes[256];
  size_t len;
  int end; /* of http_body_next */
};

/* The body behind a head, given and taken in pieces. */
static size_t receive(const char *text, size_t len, size_t piece, size_t taken_at_once, struct received *out) {
  struct http_request r;
  struct http_body b;
  int head = http_parse(&r, text, len);
  assert_true(head > 0);
  http_body_begin(&b, &r);
  memset(out, 0, sizeof *out);
  size_t at = (size_t)head, given = at;
  while (out->end == 0 && given < len) {
    given = len - given < piece ? len : given + piece;
    struct http_text in = {text + at, given - at}, data;
    while ((out->end = http_body_next(&b, &in, &data)) == 1) {
      size_t n = data.len < taken_at_once ? data.len : taken_at_once;
      memcpy(out->bytes + out->len, data.at, n);
      out->len += n;
      http_body_take(&b, &in, n);
    }
    at = (size_t)(in.at - text);
  }
  return at;
}

static void a_body_is_the_same_in_all_pieces(void **state) {
  (void)state;
  for (size_t piece = 1; piece < sizeof chunked; ++piece)
    for (size_t taken = 1; taken < 8; ++taken) {
      struct received got;
      size_t used = receive(chunked, sizeof chunked - 1, piece, taken, &got);
      assert_int_equal(got.end, 2);
      assert_string_equal(got.bytes, "hello, world!");
      assert_int_equal(used, sizeof chunked - 1 - 3); /* the next request is left alone */
    }
}

static void a_body_of_known_length_ends_there(void **state) {
  (void)state;
  static const char text[] = "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET";
  for (size_t piece = 1; piece < 10; ++piece) {
    struct received got;
    assert_int_equal(receive(text, sizeof text - 1, piece, 3, &got), sizeof text - 1 - 3);
    assert_int_equal(got.end, 2);
    assert_string_equal(got.bytes, "hello");
  }
}

static void an_unfinished_body_wants_more(void **state) {
  (void)state;
  struct received got;
  size_t head = (size_t)(strstr(chunked, "\r\n\r\n") - chunked) + 4;
  for (size_t len = head; len < sizeof chunked - 1 - 3; ++len) {
    receive(chunked, len, 100, 100, &got);
    assert_int_equal(got.end, 0);
  }
}

static void broken_chunks_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *body;
    int end;
  } cases[] = {
      {"\r\n", -400},     {";a\r\n", -400}, {"g\r\n", -400},    {"1\n", -400},         {"1\r\nab", -400},
      {"1\r\na\n", -400}, {"1 \rx", -400},  {"0\r\n\rx", -400}, {"0\r\nA: b\n", -400}, {"ffffffffffffffffff\r\n", -413},
      {"-1\r\n", -400},   {"0x1\r\n", -400}, {"1 1\r\n", -400},  {"1 a\r\n", -400},     {"1;\001\r\n", -400},
      {"1;a\n", -400},    {" 1\r\n", -400},  {"1\t;\177\r\n", -400}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    char text[256];
    int n = snprintf(text, sizeof text, "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s",
                     cases[i].body);
    struct received got;
    receive(text, (size_t)n, 1, 100, &got);
    assert_int_equal(got.end, cases[i].end);
  }
}

static void a_head_is_complete_at_its_last_byte_only(void **state) {
  (void)state;
  struct http_request r;
  int head = http_parse(&r, chunked, sizeof chunked - 1);
  assert_true(head > 0);
  for (int len = 0; len < head; ++len) assert_int_equal(http_parse(&r, chunked, (size_t)len), 0);
}

static void close_is_stronger_than_keep_alive(void **state) {
  (void)state;
  static const struct {
    const char *head;
    bool keep_alive;
  } cases[] = {{"1\r\nHost: x", true},
               {"0", false},
               {"0\r\nConnection: keep-alive", true},
               {"0\r\nConnection: x, Keep-Alive", true},
               {"1\r\nHost: x\r\nConnection: close, keep-alive", false},
               {"0\r\nConnection: close, keep-alive", false},
               {"0\r\nConnection: keep-alive, close", false},
               {"0\r\nConnection: close\r\nConnection: keep-alive", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    char text[256];
    struct http_request r;
    int n = snprintf(text, sizeof text, "GET / HTTP/1.%s\r\n\r\n", cases[i].head);
    assert_int_equal(http_parse(&r, text, (size_t)n), n);
    assert_int_equal(r.keep_alive, cases[i].keep_alive);
  }
}

static void names_stay_below_the_root(void **state) {
  (void)state;
  static const struct {
    const char *path, *name; /* NULL: refused */
    bool index;
  } cases[] = {{"/", "index.html", true},
               {"/a", "a", false},
               {"/a/", "a/index.html", true},
               {"//a///b", "a/b", false},
               {"/./a/./b/.", "a/b/index.html", true},
               {"/a/../b", "b", false},
               {"/a/b/..", "a/index.html", true},
               {"/...", "...", false},
               {"/..a/b..", "..a/b..", false},
               {"/%41%2fb", "A/b", false},
               {"/a%2f..", "index.html", true},
               {"/..", NULL, false},
               {"/a/../..", NULL, false},
               {"/%2e%2E/a", NULL, false},
               {"/a%2f..%2f..%2fb", NULL, false},
               {"/%00", NULL, false},
               {"/%4", NULL, false},
               {"/%", NULL, false},
               {"/%4g", NULL, false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    char name[http_target_max + 16];
    bool index;
    struct http_text path = {cases[i].path, strlen(cases[i].path)};
    assert_int_equal(http_file_name(path, name, &index), cases[i].name != NULL);
    if (!cases[i].name) continue;
    assert_string_equal(name, cases[i].name);
    assert_int_equal(index, cases[i].index);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_body_is_the_same_in_all_pieces),
      cmocka_unit_test(a_body_of_known_length_ends_there),
      cmocka_unit_test(an_unfinished_body_wants_more),
      cmocka_unit_test(broken_chunks_are_refused),
      cmocka_unit_test(a_head_is_complete_at_its_last_byte_only),
      cmocka_unit_test(close_is_stronger_than_keep_alive),
      cmocka_unit_test(names_stay_below_the_root),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
