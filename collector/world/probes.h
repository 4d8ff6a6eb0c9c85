// USDT probes at phase boundaries: for bpftrace, SystemTap and perf on a running process.
//
// A probe is a no-op instruction and a note in the executable's .note.stapsdt section; nothing is evaluated
// beyond its integer arguments. Without <sys/sdt.h> (Debian: systemtap-sdt-dev) they are nothing at all.
//
//   keel:cycle_begin(number, trigger)          keel:mark_begin(number, live_bytes, goal_bytes)
//   keel:mark_end(number)                      keel:cycle_end(number, marked_bytes, next_goal_bytes)
//   keel:stop_begin(time_to_stop_ns)           keel:stop_end()
//   keel:round_begin(mutators)                 keel:round_end()
//
// e.g. bpftrace -e 'usdt:./ballast:keel:mark_begin { @t = nsecs; } usdt:./ballast:keel:mark_end { @ =
// hist(nsecs - @t); }'
#pragma once

#if __has_include(<sys/sdt.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#include <sys/sdt.h>
#pragma GCC diagnostic pop
#define KEEL_PROBE(name) DTRACE_PROBE(keel, name)
#define KEEL_PROBE1(name, a) DTRACE_PROBE1(keel, name, a)
#define KEEL_PROBE2(name, a, b) DTRACE_PROBE2(keel, name, a, b)
#define KEEL_PROBE3(name, a, b, c) DTRACE_PROBE3(keel, name, a, b, c)
#else
#define KEEL_PROBE(name) static_cast<void>(0)
#define KEEL_PROBE1(name, a) static_cast<void>(a)
#define KEEL_PROBE2(name, a, b) static_cast<void>(a), static_cast<void>(b)
#define KEEL_PROBE3(name, a, b, c) static_cast<void>(a), static_cast<void>(b), static_cast<void>(c)
#endif
