// SPDX-License-Identifier: BSD-2-Clause
// Writes in all the ways there are to have something made durable, a thread each, and notes with every acknowledgement
// how long the log of the disk below is at that moment: replay_writer DIRECTORY LOG ACKS SECONDS.
#include "core.hh"
#include "replay_acks.hh"
#include "stress.hh"

namespace {

using replay::ack;
using stress::require;

int log_fd;
std::string directory;
std::chrono::steady_clock::time_point end;

// One stream: its port, its file, and what it was told.
struct writer {
  const int of;
  stress::random &dice;
  const std::string path;
  ef_port *const port;
  int fd = -1;
  std::uint64_t count = 0;
  std::vector<ack> acks;

  writer(int s, stress::random &d)
      : of(s), dice(d), path(directory + "/" + replay::names[s]), port(ef_port_new(nullptr)) {
    require(port, "ef_port_new");
  }
  void open(ef_file_options o = {}, int flags = O_WRONLY | O_CREAT, const std::string &at = {}) {
    o.size = sizeof o;
    fd = ef_openat(port, AT_FDCWD, (at.empty() ? path : at).c_str(), flags, 0644, &o);
    require(fd >= 0, "ef_openat");
  }
  void note(bool early) {
    struct stat st;
    require(::fstat(log_fd, &st) == 0, "the log");
    acks.push_back({static_cast<std::uint32_t>(of), early, count, static_cast<std::uint64_t>(st.st_size)});
  }
  void write_some(std::uint64_t *seq = nullptr) {
    std::uint64_t ignored;
    for (std::uint64_t n = 1 + dice.below(20); n > 0; --n, ++count) {
      const std::string line = replay::item(of, count);
      require(ef_write_seq(fd, line.data(), line.size(), seq ? seq : &ignored) ==
                  static_cast<ssize_t>(line.size()), // there is room: each turn is synced
              "ef_write_seq");
    }
  }
  void sync_by_event() {
    require(ef_sync(fd) == 0, "ef_sync");
    note(true);
    for (;;) {
      ef_event e{};
      if (ef_port_next(port, &e, 1) == 0) {
        pollfd q{ef_port_fd(port), POLLIN, 0};
        require(::poll(&q, 1, core::patience_ms) == 1, "no EF_SYNC comes");
        continue;
      }
      require(e.error == 0, "an event has an error");
      if (e.events & EF_SYNC) return note(false);
    }
  }
  void sync_by_wait() {
    note(true);
    require(ef_wait(fd, EF_SYNC, core::patience_ms) == EF_SYNC, "ef_wait for EF_SYNC");
    note(false);
  }
  void close() {
    require(ef_close(fd) == 0, "ef_close");
    require(ef_drain(port, core::patience_ms) == 0, "ef_drain");
  }
};

bool goes_on() { return std::chrono::steady_clock::now() < end; }

void write_lines(writer &w) {
  ef_file_options o{};
  if (w.of == replay::by_wait) o.order = EF_ORDER_THREAD;
  if (w.of == replay::by_interval) o.durable_interval_ms = 5;
  if (w.of == replay::preallocated) o.preallocate_bytes = 1 << 20;
  if (w.of == replay::rotated) o.rotate_bytes = 8192, o.rotate_keep = 1000;
  w.open(o);
  while (goes_on()) {
    std::uint64_t seq = 0;
    w.write_some(&seq);
    if (w.of == replay::by_interval) {
      w.note(true);
      stress::await([&] { return ef_synced_up_to(w.fd, seq) != 0; }, "ef_synced_up_to");
      require(ef_synced_up_to(w.fd, seq) == 1, "ef_synced_up_to fails");
      w.note(false);
    } else if (w.of == replay::by_event) {
      w.sync_by_event();
    } else {
      w.sync_by_wait();
    }
  }
  w.close();
}

void reopen_now_and_then(writer &w) {
  w.open();
  for (int old = 0; goes_on();) {
    w.write_some();
    if (w.dice.below(3) == 0) {
      if (w.dice.below(2)) w.sync_by_wait();
      require(::rename(w.path.c_str(), (w.path + "." + std::to_string(old++)).c_str()) == 0 || old == 1, "rename");
      require(ef_reopen(w.fd) == 0, "ef_reopen");
      w.write_some();
    }
    w.sync_by_event();
  }
  w.close();
}

void create_files(writer &w) {
  while (goes_on()) {
    w.open({}, O_WRONLY | O_CREAT | O_EXCL, directory + "/" + replay::created_name(w.count));
    const std::string line = replay::item(w.of, w.count);
    require(ef_write(w.fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()), "ef_write");
    ++w.count;
    w.dice.below(2) ? w.sync_by_event() : w.sync_by_wait();
    w.close();
  }
}

void write_blocks(writer &w) {
  w.open();
  require(ef_wait(w.fd, EF_OPEN, core::patience_ms) == EF_OPEN, "the open");
  while (goes_on()) {
    const int n = 1 + static_cast<int>(w.dice.below(4));
    std::vector<std::string> blocks;
    std::vector<ef_request> requests(n);
    for (int i = 0; i < n; ++i) blocks.push_back(replay::item(w.of, w.count + i));
    for (int i = n - 1; i >= 0; --i)
      require(ef_pwrite(w.fd, blocks[i].data(), replay::block_bytes,
                        static_cast<off_t>((w.count + i) * replay::block_bytes), &requests[i]) < 0 &&
                  errno == EINPROGRESS,
              "ef_pwrite");
    for (int over = 0; over < n;) {
      ef_event e{};
      if (ef_port_next(w.port, &e, 1) == 1)
        over += (e.events & EF_REQUEST) != 0;
      else
        ::usleep(50);
    }
    for (const ef_request &r : requests) require(r.result == replay::block_bytes, "a request");
    w.count += static_cast<std::uint64_t>(n);
    w.sync_by_event();
  }
  w.close();
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 5) return std::fprintf(stderr, "usage: replay_writer DIRECTORY LOG ACKS SECONDS\n"), 2;
  directory = argv[1];
  log_fd = ::open(argv[2], O_RDONLY | O_CLOEXEC);
  FILE *const out = std::fopen(argv[3], "w");
  require(log_fd >= 0 && out, "the log or the list");
  end = std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<int>(1000 * std::atof(argv[4])));
  std::vector<std::vector<ack>> acks(replay::streams);
  stress::together(replay::streams, [&](int t, stress::random &dice) {
    writer w(t, dice);
    switch (t) {
    case replay::reopened:
      reopen_now_and_then(w);
      break;
    case replay::created:
      create_files(w);
      break;
    case replay::by_request:
      write_blocks(w);
      break;
    default:
      write_lines(w);
    }
    require(ef_port_free(w.port) == 0, "ef_port_free");
    acks[t] = std::move(w.acks);
  });
  for (const auto &list : acks)
    require(!list.empty() && std::fwrite(list.data(), sizeof(ack), list.size(), out) == list.size(), "the list");
  return std::fclose(out) == 0 ? 0 : 1;
}
