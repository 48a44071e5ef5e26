/* SPDX-License-Identifier: BSD-2-Clause */
/* efio: a regular file that behaves like a non-blocking socket inside somebody else's event loop. This header is the
 * whole C interface and its manual; efio(7) tells the life of a write and of a read.
 *
 * Results. Calls answer a count, 0, a pointer or a set of bits; on failure -1 (NULL for pointers) with errno set, as
 * the POSIX call of the same name. No call ever answers EINTR. A call that answers EAGAIN has taken nothing, and
 * exactly one event of its kind follows without another call.
 *
 * Threads. "Any thread" means concurrently with everything but ef_close of the same number by its owner. "One reader"
 * means one thread at a time per file; a second one is answered EBUSY. "Owner" means the thread that drains the port:
 * one at a time, a second one is answered EBUSY. Nothing here is async-signal-safe but ef_crash_flush.
 *
 * No call is a cancellation point, nor are callbacks inside of one: pthread_cancel(3) ends a thread behind the call. It
 * must not be asynchronous. A callback returns: no exception, longjmp(3) or pthread_exit(3) may leave it.
 *
 * Memory. ef_read and ef_write copy, on the caller's thread: of a buffer that is not mapped, or whose file was cut
 * short, it has the signal that memcpy(3) would have. In a request it is EFAULT, or a short count.
 *
 * After fork(2) every handle and port made before it answers ECHILD in the child; the child may make new ones. */
#ifndef EFIO_H
#define EFIO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EF_VERSION_MAJOR 0
#define EF_VERSION_MINOR 1
#define EF_VERSION_PATCH 0

/* The pipe rule, as PIPE_BUF in pipe(7): a write of at most this many bytes is taken whole and contiguous, or not at
 * all. */
#define EF_ATOMIC 65536

/* Bits of events. The first two have the values of libev's and libuv's own. */
enum {
  EF_READ = 1,   /* ef_read, ef_readv, ef_peek are worth a call */
  EF_WRITE = 2,  /* there is room for EF_ATOMIC bytes */
  EF_OPEN = 4,   /* the background open is over, or an ef_reopen */
  EF_SYNC = 8,   /* an ef_sync is over */
  EF_CLOSE = 16, /* an ef_close is over; the number may be given to another file from now on */
  EF_ERROR = 32, /* bytes accepted before could not be written; told once per kind of trouble, without being asked */
  EF_REQUEST = 64 /* a request of ef_pread and its kin is over: ef_event.data is the ef_request */
};

/* One event: the file, what happened, the errno that came with it (0 = good), and the pointer given to ef_watch last;
 * with EF_REQUEST, which comes alone, the request. */
typedef struct ef_event {
  int fd;
  unsigned events;
  int error;
  void *data;
} ef_event;

/* A port is where one event loop meets the library: a queue of readiness with one consumer. NULL is the default port.
 */
typedef struct ef_port ef_port;

/* The poke. Called when the port's queue goes from empty to not empty, once, with nothing held; on a library thread, or
 * on the thread that is inside an ef_ call. It must not block and must not call ef_ functions: let it wake the loop
 * (write an eventfd, ev_async_send, uv_async_send) and let the loop call ef_port_next. */
typedef void ef_wake_fn(void *arg);

/* The direct form: the events themselves, on the thread where they happen; nothing is queued. It must not block; it may
 * call ef_ functions except those that wait (ef_wait, ef_drain, ef_port_wake, ef_port_notify, ef_port_free). */
typedef void ef_notify_fn(void *arg, const ef_event *events, int count);

/* Engines: who does the reads that would block. AUTO takes the best that works here; the environment variable
 * EFIO_ENGINE (auto, uring, threads) overrides it. URING: io_uring, a ring of the owner's thread, on ports without
 * wake and notify whose ef_port_fd was asked for; what a ring cannot take, and everything where there is none, goes to
 * THREADS: ef_port_counters.engine_reason tells why. */
enum { EF_ENGINE_AUTO = 0, EF_ENGINE_THREADS = 1, EF_ENGINE_URING = 2 };

/* Set size to sizeof(ef_port_options) and zero the rest for defaults. wake and notify exclude each other. */
typedef struct ef_port_options {
  size_t size;
  ef_wake_fn *wake;
  ef_notify_fn *notify;
  void *arg; /* for wake or notify */
  int engine;
} ef_port_options;

/* What ef_write does when the file's budget is full. */
enum {
  EF_FULL_EAGAIN = 0, /* take nothing, answer EAGAIN; one EF_WRITE event follows */
  EF_FULL_DROP = 1,   /* discard the call's bytes, count them, answer as if they were taken: logs that must not wait */
  EF_FULL_WAIT = 2    /* block the caller until there is room: loggers that must not lose. Never on a loop's thread */
};

/* What reading leaves in the kernel's page cache. STREAMING: nothing that was not there before, as far as the file
 * system can: a file read once does not evict what others use, but a file that was mostly in the cache when it was
 * opened stays there. Its cache is given up behind the reader and, whole, at the close. DIRECT: past the cache
 * (O_DIRECT). Where a mode does not work NORMAL is used: ef_file_counters.cache tells, cache_reason why. */
enum { EF_CACHE_NORMAL = 0, EF_CACHE_STREAMING = 1, EF_CACHE_DIRECT = 2 };

/* In which order the calls of ef_write land. CALL: as they happened, over all threads. THREAD, for logs: those of
 * each thread in its order, those of different threads in pieces of about 64 KiB; up to 16 threads do not slow each
 * other down. For files that are only written (else EINVAL); ef_seek is ESPIPE; a call takes at most EF_ATOMIC
 * bytes. */
enum { EF_ORDER_CALL = 0, EF_ORDER_THREAD = 1 };

/* How the file will be read; ef_advise changes it. */
enum { EF_PATTERN_ADAPTIVE = 0, EF_PATTERN_SEQUENTIAL = 1, EF_PATTERN_RANDOM = 2 };

/* Names a log file that is rotated away: into `to`, of to_size bytes, goes the new name, looked up as `path` is (the
 * one given to ef_open); count: rotations of this file so far, this one included. 0, or an errno: then the file stays
 * and is written on. What has the name already is not replaced (EEXIST). On a background thread: this file's bytes
 * wait; it must not wait for the library (ef_wait, ef_drain). */
typedef int ef_rotate_fn(void *arg, const char *path, unsigned long count, char *to, size_t to_size);

/* Composes what stands in the file where EF_FULL_DROP has left a gap, with a newline of its own: into `line`, of `size`
 * bytes (512). calls, bytes: dropped since the last one; over all lines they add up to what was dropped. The answer is
 * the length; 0: no line; more than size: cut, as of snprintf, with a newline at the end. On a thread that writes or
 * closes the file, or on one of the library, never on two at a time for one file, and not any more once ef_close has
 * returned. It must not block, call ef_ functions for this file, or take a lock that is held around them. */
typedef size_t ef_drop_mark_fn(void *arg, uint64_t calls, uint64_t bytes, char *line, size_t size);

/* Set size to sizeof(ef_file_options) and zero the rest for defaults. */
typedef struct ef_file_options {
  size_t size;
  size_t write_buffer_max;    /* bytes accepted and not yet written; default 4 MiB, 128 KiB .. 256 MiB */
  size_t read_ahead_max;      /* bytes read before they are asked for; default 1 MiB, 64 KiB .. 2 MiB */
  unsigned flush_interval_ms; /* age at which accepted bytes are written out, or up to 90 ms later; default 200 */
  int when_full;              /* EF_FULL_EAGAIN, EF_FULL_DROP, EF_FULL_WAIT */
  void *data;                 /* ef_event.data until ef_watch gives another */
  int cache;                  /* EF_CACHE_NORMAL, EF_CACHE_STREAMING, EF_CACHE_DIRECT */
  int pattern;                /* EF_PATTERN_ADAPTIVE, EF_PATTERN_SEQUENTIAL, EF_PATTERN_RANDOM */
  int order;                  /* of writes: EF_ORDER_CALL, EF_ORDER_THREAD */
  unsigned durable_interval_ms; /* > 0: accepted bytes are made durable so often by themselves, at most 3600000 */
  uint64_t preallocate_bytes; /* > 0: disk space is taken so far ahead of what is written; up to 1 TiB. ef_open(3) */
  /* Rotation of files opened O_WRONLY by a path: see ef_reopen(3). 0 = off. Calls are not parted. */
  uint64_t rotate_bytes;   /* what would make the file longer goes to a new one */
  unsigned rotate_seconds; /* the first write so long after the open goes to a new one; up to 10 years */
  unsigned rotate_keep;    /* without `rotate`: path.1 (the latest) .. path.N are kept; default 8, up to 1000 */
  ef_rotate_fn *rotate;    /* NULL: as rotate_keep says */
  void *rotate_arg;
  ef_drop_mark_fn *drop_mark; /* with EF_FULL_DROP only; NULL: gaps are not marked. See ef_write(3) */
  void *drop_mark_arg;
} ef_file_options;

/* A read or write at an offset of its own. Zero it before its first use. It belongs to the library, like the buffers
 * it names, from the call that answered EINPROGRESS until its event is taken (or done is called); after that it may be
 * used again. */
typedef struct ef_request {
  void *data;                       /* the caller's */
  void (*done)(struct ef_request *); /* the caller's: the loop adapters call it when the request is over */
  ssize_t result;                   /* ro: a count (short only at the end of the file), or -1 and error */
  int error;                        /* ro: 0 or an errno */
  /* What to do, for ef_submit; the other calls fill it in. */
  int op; /* EF_PREAD, EF_PWRITE */
  int fd;
  int iovcnt;              /* buffers of iov; 0: buffer alone */
  const struct iovec *iov; /* the array, too, stays until the request is over */
  struct iovec buffer;
  off_t offset;
  void *reserved[32]; /* private */
} ef_request;

enum { EF_PREAD = 0, EF_PWRITE = 1 };

/* Counters of one file; bytes unless the name says otherwise. Each is exact by itself; together they are not a
 * snapshot. */
typedef struct ef_file_counters {
  size_t size;
  uint64_t accepted; /* taken by ef_write, and marks of drop_mark */
  uint64_t written;  /* of these, handed to the kernel */
  uint64_t synced;   /* of these, known to be on stable storage */
  uint64_t dropped;  /* discarded by EF_FULL_DROP */
  uint64_t dropped_calls;
  uint64_t lost;            /* accepted and given up after a final error */
  uint64_t refused_calls;   /* writes answered EAGAIN */
  uint64_t read;            /* given to the caller */
  uint64_t read_hits;       /* reads answered from the page cache at once */
  uint64_t read_misses;     /* reads answered EAGAIN */
  uint64_t read_background; /* bytes fetched by background reads */
  uint64_t flushes;         /* writes issued */
  uint64_t syncs;           /* fdatasync calls issued */
  int error;                /* the error that sticks, or 0 */
  int write_trouble;        /* errno of the passing trouble (ENOSPC, EDQUOT, EFBIG) that holds bytes back now, or 0 */
  int cache;                /* the cache mode in use, EF_CACHE_ */
  const char *cache_reason; /* why that one; static */
  uint64_t read_wasted;     /* bytes fetched ahead and thrown away unread */
  uint64_t oldest_ms;       /* age of the oldest byte accepted and not yet written: it is no older; 0 = none waits */
  uint64_t flush_us_max;    /* longest single write issued; one under way counts for as long as it has lasted */
} ef_file_counters;

typedef struct ef_port_counters {
  size_t size;
  uint64_t files;            /* open or closing */
  uint64_t events;           /* handed out */
  uint64_t wakes;            /* wake or notify calls, and signals of ef_port_fd */
  uint64_t pool_bytes;       /* chunk memory the whole process has taken from the system */
  uint64_t pool_bytes_max;   /* its bound */
  int threads;               /* library threads running in the process */
  int engine;                /* EF_ENGINE_ in use */
  const char *engine_name;   /* static */
  const char *engine_reason; /* why this one; static */
} ef_port_counters;

/* "0.1.0". Any thread, also in a fork child. */
const char *ef_version(void);

/* ---- Ports ------------------------------------------------------------------------------------------------------- */

/* Makes a port. NULL options = defaults. Caller owns the port: ef_port_free. Any thread.
 * EINVAL bad options, or EFIO_ENGINE names no engine; ENOMEM, EAGAIN no thread could be started. */
ef_port *ef_port_new(const ef_port_options *options);

/* The process's default port, made on first use and never freed. Any thread. ENOMEM, EAGAIN as ef_port_new. */
ef_port *ef_port_default(void);

/* Frees a port. EBUSY while files are open or closing on it, and for the default port. Owner; no other use at the time.
 */
int ef_port_free(ef_port *port);

/* The loop goes away, its files stay: removes wake and notify (quiescent, as ef_port_wake), drops events not taken,
 * makes no more of them, and frees the port with its last file. Do not use the port afterwards. Owner. EBUSY default
 * port. What the caller has under way in the ring is waited for. Requests in progress end unheard: wait for them
 * before, or take them back by ef_cancel_wait, also afterwards. */
int ef_port_abandon(ef_port *port);

/* Takes up to max events. The answer is their number, 0 when there are none. Loop until it is less than max: the wake
 * comes again only after the queue was found empty. Owner. EINVAL max < 1, EFAULT out NULL, EBUSY another thread is in
 * it, or has reads under way in the ring (it drains, or ends, first), ENOTSUP the port has a notify function. */
int ef_port_next(ef_port *port, ef_event *out, int max);

/* A descriptor that is readable while events wait: for any loop without an adapter. With it the port may use io_uring:
 * what ends in the ring makes it readable, too. Made on first use, owned by the port; do not read or close it. Any
 * thread. EMFILE, ENFILE, ENOMEM. */
int ef_port_fd(ef_port *port);

/* Replaces the wake function; NULL removes it. Quiescent: on return the old one is not running and will not run. If
 * events wait already, the new one is called before the return. Any thread; never from the wake itself. ENOTSUP the
 * port has a notify function, EBUSY another thread replaces it now, or has reads under way in the ring; those of the
 * caller are waited for. */
int ef_port_wake(ef_port *port, ef_wake_fn *wake, void *arg);

/* The same for the direct form. Events queued before are delivered through it before the return. ENOTSUP the port has a
 * wake function, EBUSY as above. */
int ef_port_notify(ef_port *port, ef_notify_fn *notify, void *arg);

/* Hands the misses of this turn to the kernel with one system call: for the prepare hook of a loop without an adapter,
 * just before it polls. Without it they go with the next ef_port_next; the first miss on an idle ring always goes at
 * once. The answer is their number. Owner. EBUSY another thread is in it. */
int ef_port_submit(ef_port *port);

/* Misses of the owner not yet handed over. Owner. */
int ef_port_pending(ef_port *port);

/* The port of a file. Any thread. EBADF. */
ef_port *ef_port_of(int fd);

/* Asks every file of the port to write out, and waits until nothing accepted is left unwritten and every open, request
 * and ef_close is over, at most timeout_ms (-1 = for ever). Any thread but the loop's, which it would block; never
 * from wake or notify. ETIMEDOUT: time is up, the rest is still kept. */
int ef_drain(ef_port *port, int timeout_ms);

/* Fills *out; out->size must be set. Any thread. EFAULT, EINVAL size. */
int ef_port_stats(ef_port *port, ef_port_counters *out);

/* ---- Files ------------------------------------------------------------------------------------------------------- */

/* Opens a file on the default port and answers its number at once: open(2) happens in the background. Until it is done
 * reads answer EAGAIN, writes are accepted. If it fails, the file is ready for everything and every call answers its
 * errno; the number must still be given to ef_close. Flags as open(2), mode with O_CREAT or O_TMPFILE. A relative path
 * is looked up in the background: leave the working directory alone until EF_OPEN. O_NONBLOCK is implied: a FIFO
 * without a reader is ENXIO, a socket's path, too. Directories are EISDIR; sockets (ef_fdopen), and FIFOs and terminals
 * for reading, are ESPIPE: the loop watches those itself. Numbers belong to this library, they are not descriptors of
 * the kernel; a fresh process counts 0, 1, 2. Any thread. At once: EFAULT path NULL, ENOENT path empty, ENAMETOOLONG,
 * EINVAL unknown flags, O_PATH, O_DIRECT or O_DIRECTORY, ENFILE 2^20 files open, ENOMEM, EAGAIN no thread could be
 * started; and those of ef_port_new when it is the first call. */
int ef_open(const char *path, int flags, ... /* mode_t mode */);

/* The same with a port, a directory (AT_FDCWD; it is duplicated, so it may be closed after the call) and options (NULL
 * = defaults). Also EBADF dirfd, EMFILE no descriptor for the duplicate, EINVAL options. */
int ef_openat(ef_port *port, int dirfd, const char *path, int flags, mode_t mode, const ef_file_options *options);

/* Adopts an open descriptor of the kernel: from now on it is the library's, which closes it. Positions start at its
 * offset. Reads answer EAGAIN until it was looked at in the background (EF_OPEN). Any thread. EBADF (also O_PATH),
 * EINVAL options or O_DIRECT, ENFILE, ENOMEM, EAGAIN no thread; after a failure it is still the caller's. */
int ef_fdopen(ef_port *port, int osfd, const ef_file_options *options);

/* Reads at the read position: bytes now (at most 256 KiB a call, at most what is there: short counts are normal), 0 =
 * end of file now, asked of the kernel each time, so a file that grew is read on. EAGAIN: the bytes are being fetched,
 * one EF_READ follows. Bytes accepted by ef_write on the same number before are seen: it answers EAGAIN until they are
 * written out. One reader. EBADF not open or not for reading, EFAULT buf NULL, EINVAL len > SSIZE_MAX or iovcnt
 * outside 1..1024, EBUSY another thread reads, ENOMEM, errno of the failed open, EIO and others of read(2) once each,
 * when the bytes before are consumed. */
ssize_t ef_read(int fd, void *buf, size_t len);
ssize_t ef_readv(int fd, const struct iovec *iov, int iovcnt);

/* Reading without a copy: up to iovcnt spans of the bytes that are next, count of spans used; 0 = end of file. The
 * spans are valid until the next ef_peek, ef_consume, ef_read, ef_seek or ef_close of the same file. Errors as
 * ef_readv. */
ssize_t ef_peek(int fd, struct iovec *iov, int iovcnt);

/* Moves the read position over bytes that ef_peek showed. One reader. EINVAL more than is buffered, EBADF, EBUSY. */
int ef_consume(int fd, size_t len);

/* Read or write at an offset, without the file's positions: any number at once, in any order. What is in memory is read
 * at once, up to 256 KiB: the answer is the count, and no event follows. (After several misses in a row a ring is asked
 * without a look; EF_CACHE_DIRECT never looks.) Otherwise -1 with EINPROGRESS, and one EF_REQUEST event on the file's
 * port follows, whatever happens, also if the file is closed meanwhile; until then request and buffers belong to the
 * library. A count is short only at the end of the file (0: at or behind it), on a full disk, or if an error came
 * behind it. Any other errno: nothing was begun, no event. NULL request: what is in memory now, perhaps less than asked
 * for, or EAGAIN, and nothing follows (ef_pwrite: EINVAL). Reads see what ef_write accepted before on the same number.
 * On a file opened with O_APPEND a write goes to its offset all the same (EOPNOTSUPP: it may not be opened again
 * without that flag, or there is no /proc). Writes are in the file when they are over, durable with the next ef_sync;
 * between them and ef_write there is no order. Any thread. EBADF not open for it, ESPIPE not seekable, EFAULT, EINVAL
 * offset < 0, offset + length beyond 2^63 - 1, length > SSIZE_MAX, iovcnt outside 1..1024; EBUSY the request is in
 * progress; the errno of the failed open, the error that sticks. */
ssize_t ef_pread(int fd, void *buf, size_t len, off_t offset, ef_request *request);
ssize_t ef_preadv(int fd, const struct iovec *iov, int iovcnt, off_t offset, ef_request *request);
ssize_t ef_pwrite(int fd, const void *buf, size_t len, off_t offset, ef_request *request);
ssize_t ef_pwritev(int fd, const struct iovec *iov, int iovcnt, off_t offset, ef_request *request);

/* Begins many: op, fd, iov and iovcnt or buffer, and offset are filled in by the caller. The answer is the number of
 * those in progress, each of which will have its event; the others have error 0 and their result, or result -1 and the
 * errno, now (in progress: error EINPROGRESS). One that is in progress already is left alone. Any thread. EFAULT,
 * EINVAL count < 0: none was begun. */
int ef_submit(ef_request *const *requests, int count);

/* Asks for the end of a request that is in progress. Its event comes all the same, once: with ECANCELED, of a read also
 * if a part was read, or of a write if nothing was written, otherwise with what became of it; the buffers are in use
 * until then. Any thread; not once the event was taken. ENOENT it is not in progress, EFAULT, ECHILD. */
int ef_cancel(ef_request *request);

/* The same, and takes it back: blocks until the kernel has let go of the buffers. Then request and buffers are the
 * caller's, result and error say what became of it, and no event comes: for memory that has to go now. Any thread but
 * one that is inside wake or notify; of a request in another thread's ring that thread has to take a turn. Not once the
 * event was taken. ENOENT it is not in progress: its event was taken before, so done may still be called. EFAULT,
 * ECHILD. */
int ef_cancel_wait(ef_request *request);

/* Sets the position, as lseek(2). A file has two positions, as a socket has two streams: reads move one, writes the
 * other, ef_seek sets both (writes accepted before go where they were going; with O_APPEND writes always go to the
 * end). SEEK_CUR counts from the read position, on write-only files from the write position. One reader. The answer is
 * the new position. EINVAL whence or a negative result, EOVERFLOW more than 2^63 - 2^40, EAGAIN the open is not done or
 * the budget is full (EF_READ or, write-only, EF_WRITE follows), EBADF, EBUSY, ENOMEM, ESPIPE not seekable, or rotated;
 * the errno of the failed open, the error that sticks. */
off_t ef_seek(int fd, off_t offset, int whence);

/* Copies the bytes and returns; they are written out by a background thread when 256 KiB or half the budget have come
 * together, when the oldest is flush_interval_ms old, or at ef_flush, ef_sync, ef_close. Bytes of one call are
 * contiguous in the file; calls land in the order in which they happened, over all threads. At most EF_ATOMIC bytes:
 * all or nothing. More: a count, which may be short. Any thread. EAGAIN the budget is full, nothing was taken, one
 * EF_WRITE follows (but see when_full); EBADF not open or not for writing, EFAULT, EINVAL len > SSIZE_MAX or iovcnt
 * outside 1..1024, ENOMEM; or the error that sticks. */
ssize_t ef_write(int fd, const void *buf, size_t len);
ssize_t ef_writev(int fd, const struct iovec *iov, int iovcnt);

/* ef_write, and a number in *seq for ef_synced_up_to, unless it fails; UINT64_MAX, the number of no file, for bytes
 * that EF_FULL_DROP has discarded. Any thread. Also EFAULT seq NULL. */
ssize_t ef_write_seq(int fd, const void *buf, size_t len, uint64_t *seq);

/* Is what was written up to this number of ef_write_seq on stable storage? 1; 0: not yet, ask for it by ef_sync, or
 * durable_interval_ms brings it. Numbers of one file rise in each thread; with EF_ORDER_CALL in all. Any thread. EBADF
 * not open or not for writing, EINVAL a number of another file; the errno of the failed open, the error that sticks. */
int ef_synced_up_to(int fd, uint64_t seq);

/* For the handler of a deadly signal: has the background threads write out what all files have accepted, and waits at
 * most timeout_ms (-1 = for ever). The answer is the number of files that have something left: a call of ef_write that
 * the signal has interrupted holds back what came behind it in its file, and a signal in a background thread ends what
 * that thread was doing. Nothing is made durable beyond the kernel. Async-signal-safe, the only call that is; any
 * thread. In a fork child 0: what the parent accepted is the parent's. */
int ef_crash_flush(int timeout_ms);

/* Asks for one event: arms those bits of EF_READ, EF_WRITE, EF_OPEN, EF_SYNC, EF_CLOSE that are not true already. > 0:
 * these are true now and nothing was armed; 0: armed, one shot. data is handed back in events of this file. events 0
 * disarms all and takes back events not yet taken: after it the old data is not seen again. EF_SYNC and EF_CLOSE are
 * never true beforehand: arm them before ef_sync (which arms EF_SYNC itself) and ef_close. Readiness to read is a hint:
 * the bytes are worth asking for; if they left the page cache the call answers EAGAIN and arms. Owner. EBADF (also if
 * the file was not opened for any of the bits), EINVAL bits. */
int ef_watch(int fd, unsigned events, void *data);

/* EF_READ | EF_WRITE as far as true now. No side effect. Any thread. EBADF. */
int ef_ready(int fd);

/* Blocks until one of EF_READ, EF_WRITE, EF_OPEN is true or, with EF_SYNC, until every byte accepted before the call is
 * durable, at most timeout_ms (-1 = for ever). The true bits, 0 when time is up. Takes no events from the port. Any
 * thread, but it blocks: not a loop's. EBADF (as ef_watch), EINVAL bits, or EF_SYNC with others; with EF_SYNC the error
 * that sticks. */
int ef_wait(int fd, unsigned events, int timeout_ms);

/* Starts writing out what is accepted; returns at once. Any thread. EBADF (also not for writing), the error
 * that sticks. */
int ef_flush(int fd);

/* Starts making durable every byte accepted before the call: write, fdatasync(2), and for a file opened with O_CREAT
 * its directory. One EF_SYNC event follows, whose error is 0 only if all of them are on stable storage; requests that
 * overlap may share an event. A failed fdatasync is final: no later ef_sync of this file succeeds. Any thread.
 * EBADF (also not for writing), the error that sticks. */
int ef_sync(int fd);

/* Opens the file's path anew, in the background, as a log file that was renamed wants it: every byte accepted before
 * the call goes to the old file, every byte accepted after its return to the new one; what is accepted meanwhile waits
 * in memory. No call's bytes are parted. The flags of the first open without O_TRUNC and O_EXCL; the new file is
 * written from its end on. ef_watch or ef_wait for EF_OPEN tells when it is done; until then EF_OPEN is not true. A
 * failed open (EF_ERROR and EF_OPEN have the errno; EINVAL: now a file of another type) leaves the old file in use,
 * until the next ef_reopen. Calls that come before an earlier one has begun are one with it. ef_sync covers the old
 * file, too. Any thread. EBADF not open or not for writing, EINVAL open for reading, too, or without a path (ef_fdopen,
 * O_TMPFILE); errno of the failed open, the error that sticks. */
int ef_reopen(int fd);

/* Gives the number back at once; accepted bytes are written out in the background, then close(2). Never blocks, but
 * for a drop_mark that is just being called, and needs no memory. What cannot be written then (disk full, EIO) is given
 * up: arm EF_CLOSE before, its event has the error. -1
 * with the error that sticks, if there is one: the file is closed all the same. No other event of the file is taken
 * afterwards; a notify function that runs on another thread at the time may still have one, unless
 * ef_watch(fd, 0, NULL) came before. Owner or any thread, once. EBADF. */
int ef_close(int fd);

/* Tells how the file will be read. EF_PATTERN_: for what follows; len 0. EF_WILL_NEED: len bytes from offset on will be
 * wanted, which the kernel is asked to read into its cache, in the background. Any thread. EBADF, EINVAL. */
enum { EF_WILL_NEED = 3 };
int ef_advise(int fd, off_t offset, off_t len, int advice);

/* The file as the kernel sees it now, without waiting for it: network file systems answer from their cache
 * (AT_STATX_DONT_SYNC). Accepted bytes that are not written yet do not count. Any thread.
 * EAGAIN the open is not done (EF_OPEN follows), EFAULT, EBADF, errno of the failed open. */
int ef_fstat(int fd, struct stat *out);

/* Fills *out; out->size must be set. Any thread. EBADF, EFAULT, EINVAL size. */
int ef_file_stats(int fd, ef_file_counters *out);

#ifdef __cplusplus
}
#endif
#endif
