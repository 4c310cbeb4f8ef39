/* SPDX-License-Identifier: MIT
 * check.h: assertions that stay on in release builds.
 *
 * CHECK guards against errors of the programmer, never against bytes from outside: those come back
 * as BITCASK_CORRUPT or BITCASK_INVALID. A failed CHECK ends the process before it can write
 * something wrong. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#define CHECK(condition) \
    (__builtin_expect(!!(condition), 1) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* Says which condition failed, on stderr, and aborts. */
__attribute__((noreturn, cold)) void check_failed(const char *condition, const char *file,
                                                  int line);

#endif
