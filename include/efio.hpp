// SPDX-License-Identifier: BSD-2-Clause
// efio for C++20, all of it: ef::file, ef::port, ef::request, ef::ostream and coroutines over the calls of efio.h,
// which has the meanings, the bounds and the errors. Nothing but headers: link with -lefio. Works with -fno-exceptions
// and -fno-rtti. Manual: efio.hpp(3).
//
// Everything here is in the inline namespace ef::v1, and in ef::v1::detail what is not for use.
//
//   ef::job print(ef::port &port, const char *path) {
//     auto file = ef::file::open(port, path, O_RDONLY);
//     char some[65536];
//     for (; file;) {
//       auto n = file->read(some);
//       if (n && *n > 0) fwrite(some, 1, *n, stdout);
//       else if (!n.would_block()) break;               // the end, or n.error()
//       else if (!co_await file->readable()) break;     // the loop goes on meanwhile
//     }
//   }
#ifndef EFIO_HPP
#define EFIO_HPP

#include "efio/result.hpp"  // ef::result
#include "efio/port.hpp"    // ef::port
#include "efio/request.hpp" // ef::request
#include "efio/file.hpp"    // ef::file, and what can be awaited
#include "efio/ostream.hpp" // ef::ostream
#include "efio/job.hpp"     // ef::job

#endif
