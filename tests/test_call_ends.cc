// SPDX-License-Identifier: BSD-2-Clause
// Where calls end at the front of a write stream, compared with a plain list of their lengths, for every way of
// consuming them.
#include "write_stream.hh"

#include "stress.hh"

#include "core.hh"

#include <deque>
#include <numeric>

namespace {

struct model {
  ef::write_stream s;
  std::deque<std::size_t> calls; // what is left of each
  bool begun = false;            // of the first one a part is consumed

  explicit model(ef::chunk_pool *pool) { s.open(pool, 1024); }
  void put(std::size_t n) {
    const std::string bytes(n, 'x');
    const iovec one{const_cast<char *>(bytes.data()), n};
    assert_int_equal(s.put(ef::byte_source(&one, 1), n), n);
    calls.push_back(n);
  }
  std::size_t all() const { return std::accumulate(calls.begin(), calls.end(), std::size_t{0}); }
  std::size_t whole(std::size_t most) const {
    std::size_t found = 0;
    for (std::size_t n : calls) {
      if (found + n > most) break;
      found += n;
    }
    return found;
  }
  void compare(std::size_t most) {
    iovec iov[64];
    std::int64_t base;
    const int n = s.gather(iov, 64, most, &base);
    std::size_t gathered = 0;
    for (int i = 0; i < n; ++i) gathered += iov[i].iov_len;
    assert_int_equal(gathered, std::min(most, all()));
    assert_int_equal(s.whole_calls(gathered), whole(gathered));
    assert_int_equal(s.whole_calls(gathered / 2), whole(gathered / 2));
    assert_int_equal(s.first_call(), calls.empty() ? 0 : calls.front());
    assert_int_equal(s.begun_call(), begun ? calls.front() : 0);
  }
  void consume(std::size_t n) {
    s.consume(n);
    while (n > 0) {
      const std::size_t here = std::min(n, calls.front());
      begun = here < calls.front();
      calls.front() -= here;
      if (!begun) calls.pop_front();
      n -= here;
    }
  }
};

void it_agrees_with_a_list_of_lengths(void **) {
  static ef::chunk_pool pool;
  assert_int_equal(pool.init([](void *) {}, [](void *) {}, nullptr), 0);
  stress::random dice(1);
  const std::size_t longest[] = {1, 10, 300, 5000, 65536, 200000, 1 << 20};
  for (int round = 0; round < 200; ++round) {
    model m(&pool);
    const std::size_t most = longest[dice.below(7)];
    for (int step = 0; step < 200; ++step) {
      if (m.all() < 2 << 20)
        for (std::uint64_t k = dice.below(4); k > 0; --k) m.put(1 + dice.below(most));
      m.compare(1 + dice.below(2 * most));
      if (const std::size_t there = std::min<std::size_t>(m.all(), 2 * most)) {
        iovec iov[64];
        std::int64_t base;
        const int n = m.s.gather(iov, 64, 1 + dice.below(there), &base);
        std::size_t gathered = 0;
        for (int i = 0; i < n; ++i) gathered += iov[i].iov_len;
        const std::size_t whole = m.whole(gathered);
        m.consume(dice.below(2) && whole ? whole : gathered);
      }
      if (dice.below(8) == 0) m.s.detach();
      m.compare(1 + dice.below(2 * most));
    }
    while (m.all()) {
      m.compare(65536);
      m.consume(std::min<std::size_t>(m.all(), 65536));
    }
    assert_true(m.s.detach());
  }
}

} // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(it_agrees_with_a_list_of_lengths)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
