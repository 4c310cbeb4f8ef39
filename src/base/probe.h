/* SPDX-License-Identifier: MIT
 * probe.h: places where a tracer of the system's (perf, bpftrace, systemtap) can listen: one `nop`
 * each while nobody does. docs/OBSERVABILITY.md lists them with their arguments.
 *
 *     PROBE4(put, key_size, value_size, version, status);
 *
 * Without systemtap's header they are nothing. The arguments must cost nothing to compute. */
#ifndef BASE_PROBE_H
#define BASE_PROBE_H

#ifdef HAVE_SDT
#include <sys/sdt.h>
#define PROBE2(name, a, b) DTRACE_PROBE2(bitcask, name, a, b)
#define PROBE4(name, a, b, c, d) DTRACE_PROBE4(bitcask, name, a, b, c, d)
#else
#define PROBE2(name, a, b) ((void)0)
#define PROBE4(name, a, b, c, d) ((void)0)
#endif

#endif
