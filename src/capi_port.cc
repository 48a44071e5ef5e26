// SPDX-License-Identifier: BSD-2-Clause
// The C face of ports: checks what callers hand in and answers errnos. Nothing else.
#include "capi.hh"

#include "port.hh"
#include "runtime.hh"
#include "thread.hh"

using namespace ef;

const char *ef_version(void) { return "0.1.0"; }

ef_port *ef_port_new(const ef_port_options *options) {
  ef_port_options o{};
  if (options) {
    if (options->size != sizeof o) return no_port(-EINVAL);
    o = *options;
    if (o.wake && o.notify) return no_port(-EINVAL);
  }
  int error;
  port *p = port_make(o, &error);
  if (!p) return no_port(error);
  drain_at_exit();
  return reinterpret_cast<ef_port *>(p);
}

ef_port *ef_port_default(void) {
  int error;
  port *p = resolve_port(nullptr, &error);
  return p ? reinterpret_cast<ef_port *>(p) : no_port(error);
}

int ef_port_free(ef_port *given) {
  int error;
  port *p = resolve_port(given, &error);
  if (!p) return answer(error);
  if (is_default_port(*p) || p->files.load(std::memory_order_acquire) > 0) return answer(-EBUSY); // pairs with release
  port_abandon(*p);
  port_release(*p);
  return 0;
}

int ef_port_abandon(ef_port *given) {
  int error;
  port *p = resolve_port(given, &error);
  if (!p) return answer(error);
  if (is_default_port(*p)) return answer(-EBUSY);
  port_abandon(*p);
  port_release(*p);
  return 0;
}

int ef_port_next(ef_port *given, ef_event *out, int max) {
  int error;
  if (max < 1) return answer(-EINVAL);
  if (!out) return answer(-EFAULT);
  port *p = resolve_port(given, &error);
  return answer(p ? port_next(*p, out, max) : error);
}

int ef_port_submit(ef_port *given) {
  int error;
  port *p = resolve_port(given, &error);
  return answer(p ? port_submit(*p) : error);
}

int ef_port_pending(ef_port *given) {
  int error;
  port *p = resolve_port(given, &error);
  return answer(p ? port_pending(*p) : error);
}

int ef_port_fd(ef_port *given) {
  int error;
  port *p = resolve_port(given, &error);
  return answer(p ? port_event_fd(*p) : error);
}

int ef_port_wake(ef_port *given, ef_wake_fn *wake, void *arg) {
  int error;
  port *p = resolve_port(given, &error);
  if (!p) return answer(error);
  if (p->form.load(std::memory_order_acquire) == form_of_news::direct) return answer(-ENOTSUP);
  return answer(port_set_callback(*p, {wake, nullptr, arg}));
}

int ef_port_notify(ef_port *given, ef_notify_fn *notify, void *arg) {
  int error;
  port *p = resolve_port(given, &error);
  if (!p) return answer(error);
  if (p->form.load(std::memory_order_acquire) == form_of_news::waking) return answer(-ENOTSUP);
  return answer(port_set_callback(*p, {nullptr, notify, arg}));
}

ef_port *ef_port_of(int fd) {
  file_reference f(fd);
  return f.error() ? no_port(f.error()) : reinterpret_cast<ef_port *>(f->home);
}

int ef_drain(ef_port *given, int timeout_ms) {
  int error;
  port *p = resolve_port(given, &error);
  return answer(p ? drain(p, timeout_ms) : error);
}

int ef_port_stats(ef_port *given, ef_port_counters *out) {
  if (!out) return answer(-EFAULT);
  if (out->size != sizeof *out) return answer(-EINVAL);
  int error;
  port *p = resolve_port(given, &error);
  if (!p) return answer(error);
  out->files = static_cast<std::uint64_t>(p->files.load(std::memory_order_relaxed));
  out->events = p->events.load(std::memory_order_relaxed);
  out->wakes = p->wakes.load(std::memory_order_relaxed);
  out->pool_bytes = here()->chunks.bytes();
  out->pool_bytes_max = chunk_pool::bytes_max();
  out->threads = threads_running();
  const char *refusal = p->at.refusal.load(std::memory_order_relaxed);
  if (!refusal && p->engine_used->turn && p->at.called_back.load(std::memory_order_relaxed))
    refusal = "the port has a callback: nobody would poll for what a ring ends";
  const engine &used = refusal ? *engines[engines_count - 1] : *p->engine_used;
  out->engine = used.id;
  out->engine_name = used.name;
  out->engine_reason = refusal ? refusal : p->engine_reason;
  return 0;
}
