/* SPDX-License-Identifier: MIT
 * busy_poll_test.c: who looks longer finds what is there, and stops looking where nothing comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "busy_poll.h"

enum { LIMIT_US = 1, AT_ONCE_MS = 1 };

struct fixture {
    int epoll_fd, event_fd;
    struct busy_poll poll;
};

static int set_up(void **state)
{
    static struct fixture fix;
    fix = (struct fixture){.epoll_fd = epoll_create1(0), .event_fd = eventfd(0, EFD_NONBLOCK)};
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fix.event_fd};
    *state = &fix;
    return epoll_ctl(fix.epoll_fd, EPOLL_CTL_ADD, fix.event_fd, &event);
}

static int tear_down(void **state)
{
    struct fixture *fix = *state;
    close(fix->epoll_fd);
    close(fix->event_fd);
    return 0;
}

static void make_event(struct fixture *fix)
{
    assert_int_equal(eventfd_write(fix->event_fd, 1), 0);
}

static void take_event(struct fixture *fix)
{
    eventfd_t count;
    assert_int_equal(eventfd_read(fix->event_fd, &count), 0);
}

static int wait(struct fixture *fix, int timeout_ms, uint64_t limit_us)
{
    struct epoll_event event;
    return busy_poll_wait(&fix->poll, fix->epoll_fd, &event, 1, timeout_ms, limit_us);
}

/* As if the events before had come one by one. */
static int wait_alone(struct fixture *fix)
{
    fix->poll.events = 0;
    fix->poll.crowded = false;
    return wait(fix, -1, LIMIT_US);
}

/* A chance to look longer, which comes to nothing if it is taken. */
static void give_chance(struct fixture *fix)
{
    fix->poll.had_events = true;
    assert_int_equal(wait(fix, AT_ONCE_MS, LIMIT_US), 0);
}

static void an_event_that_is_there_is_found_without_sleep(void **state)
{
    struct fixture *fix = *state;
    make_event(fix);
    assert_int_equal(wait(fix, -1, LIMIT_US), 1);
    assert_int_equal(fix->poll.tries, 0); /* nothing had come before */
    assert_int_equal(wait(fix, -1, LIMIT_US), 1);
    assert_int_equal(fix->poll.tries, 1);
    assert_int_equal(fix->poll.hits, 1);
}

static void nobody_looks_longer_while_nothing_comes(void **state)
{
    struct fixture *fix = *state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(wait(fix, AT_ONCE_MS, LIMIT_US), 0);
    assert_int_equal(fix->poll.tries, 0);
}

static void it_can_be_switched_off_and_is_not_for_those_who_do_not_wait(void **state)
{
    struct fixture *fix = *state;
    make_event(fix);
    for (int i = 0; i < 10; i++)
        assert_int_equal(wait(fix, i % 2 == 0 ? -1 : 0, i % 2 == 0 ? 0 : LIMIT_US), 1);
    assert_int_equal(fix->poll.tries, 0);
}

static void a_miss_ends_in_a_plain_wait(void **state)
{
    struct fixture *fix = *state;
    make_event(fix);
    assert_int_equal(wait(fix, -1, LIMIT_US), 1);
    take_event(fix);
    assert_int_equal(wait(fix, AT_ONCE_MS, LIMIT_US), 0);
    assert_int_equal(fix->poll.tries, 1);
    assert_int_equal(fix->poll.misses, 1);
    assert_false(fix->poll.had_events);
}

static void misses_make_it_rare(void **state)
{
    enum { CHANCES = 512, FIRST = 8 };
    struct fixture *fix = *state;
    for (int i = 0; i < FIRST; i++) {
        fix->poll.skip = 0;
        give_chance(fix);
    }
    assert_int_equal(fix->poll.tries, FIRST);
    for (int i = 0; i < CHANCES; i++)
        give_chance(fix);
    assert_int_equal(fix->poll.tries, FIRST + CHANCES / 256);
}

static void a_hit_makes_it_usual_again(void **state)
{
    struct fixture *fix = *state;
    for (int i = 0; i < 300; i++)
        give_chance(fix);
    make_event(fix);
    fix->poll.had_events = true;
    while (fix->poll.hits == 0)
        assert_int_equal(wait_alone(fix), 1);
    for (int i = 0; i < 10; i++)
        assert_int_equal(wait_alone(fix), 1);
    assert_int_equal(fix->poll.hits, 11);
}

static void many_events_in_a_short_time_are_a_crowd(void **state)
{
    (void)state;
    enum { CROWD_US = BUSY_POLL_CROWD * BUSY_POLL_CROWD_US };
    struct busy_poll poll = {.window_us = 1000};
    busy_poll_count(&poll, BUSY_POLL_CROWD - 1, 1000);
    assert_false(poll.crowded); /* not enough to tell */
    busy_poll_count(&poll, 1, 1000 + CROWD_US);
    assert_true(poll.crowded);
    busy_poll_count(&poll, BUSY_POLL_CROWD, 1000 + 2 * CROWD_US);
    assert_true(poll.crowded);
    busy_poll_count(&poll, BUSY_POLL_CROWD, 1000 + 3 * CROWD_US + 1);
    assert_false(poll.crowded);
}

static void a_crowd_is_gathered_by_the_clock(void **state)
{
    struct fixture *fix = *state;
    make_event(fix);
    fix->poll.had_events = fix->poll.crowded = true;
    assert_int_equal(wait(fix, -1, LIMIT_US), 1);
    assert_int_equal(fix->poll.gathers, 1);
    assert_int_equal(fix->poll.tries, 0);
    assert_true(fix->poll.crowded);
}

static void a_sleep_that_gathers_nothing_is_the_last(void **state)
{
    struct fixture *fix = *state;
    fix->poll.had_events = fix->poll.crowded = true;
    assert_int_equal(wait(fix, AT_ONCE_MS, LIMIT_US), 0);
    assert_int_equal(fix->poll.gathers, 1);
    assert_false(fix->poll.crowded);
    make_event(fix);
    assert_int_equal(wait(fix, -1, LIMIT_US), 1);
    assert_int_equal(wait(fix, -1, LIMIT_US), 1);
    assert_int_equal(fix->poll.gathers, 1);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_event_that_is_there_is_found_without_sleep),
        TEST(nobody_looks_longer_while_nothing_comes),
        TEST(it_can_be_switched_off_and_is_not_for_those_who_do_not_wait),
        TEST(a_miss_ends_in_a_plain_wait),
        TEST(misses_make_it_rare),
        TEST(a_hit_makes_it_usual_again),
        TEST(many_events_in_a_short_time_are_a_crowd),
        TEST(a_crowd_is_gathered_by_the_clock),
        TEST(a_sleep_that_gathers_nothing_is_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
