// SPDX-License-Identifier: BSD-2-Clause
// pthread_cancel(3) ends a thread in the system calls that wait. In the middle of ours it would leave behind what it
// holds, and no destructor runs here: a lock, the reading turn of a file. So they are made with the end put off.
#ifndef EF_UNCANCELLED_HH
#define EF_UNCANCELLED_HH

#include <pthread.h>

namespace ef {

class uncancelled {
 public:
  uncancelled() noexcept { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~uncancelled() {
    int disabled;
    pthread_setcancelstate(before_, &disabled);
  }
  uncancelled(const uncancelled &) = delete;
  uncancelled &operator=(const uncancelled &) = delete;

 private:
  int before_;
};

} // namespace ef
#endif
