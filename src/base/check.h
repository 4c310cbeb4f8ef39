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

/* ALWAYS(condition), NEVER(condition): what holds, or does not, as far as anybody can see, in code
 * that goes on safely if that is wrong: defence in depth. The reason stands beside each. After
 * SQLite:
 *
 *     normally                 the condition: the defence is there
 *     with sanitizers          the condition, and the process ends if it is not as said: a test has
 *                              shown that the reason is wrong
 *     measuring the coverage   a constant, not evaluated: what nothing can take is no branch that a
 *                              test has missed
 *
 * A condition on bytes from outside is neither. No side effects in it. */
#if defined COVERAGE_BUILD
#define ALWAYS(condition) ((void)sizeof((condition) ? 1 : 0), 1)
#define NEVER(condition) ((void)sizeof((condition) ? 1 : 0), 0)
#elif defined DEFENCE_CHECKED
#define ALWAYS(condition) \
    ((condition) ? 1 : (check_failed("ALWAYS(" #condition ")", __FILE__, __LINE__), 0))
#define NEVER(condition) \
    ((condition) ? (check_failed("NEVER(" #condition ")", __FILE__, __LINE__), 1) : 0)
#else
#define ALWAYS(condition) __builtin_expect(!!(condition), 1)
#define NEVER(condition) __builtin_expect(!!(condition), 0)
#endif

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* Ask the processor for the line at an address, which need not be one. The empty statement, because
 * GCC 12 takes a function that does nothing else for one without an effect, and its calls away. */
#define PREFETCH(address)                            \
    do {                                             \
        __builtin_prefetch((const void *)(address)); \
        __asm__ volatile("");                        \
    } while (0)

/* Says which condition failed, on stderr, and aborts. */
__attribute__((noreturn, cold)) void check_failed(const char *condition, const char *file,
                                                  int line);

#endif
