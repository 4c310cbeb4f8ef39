/* SPDX-License-Identifier: MIT
 * script_test.c: plans as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plan.h"

static char *text_of(const struct plan *plan)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    plan_write(plan, to);
    fclose(to);
    return text;
}

static bool read_text(struct plan *plan, const char *text, char what[300])
{
    FILE *from = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    assert_non_null(from);
    bool read = plan_read(plan, from, what, 300);
    fclose(from);
    return read;
}

static void a_plan_is_the_same_after_it_was_text(void **state)
{
    (void)state;
    struct plan *plan = malloc(sizeof *plan), *again = malloc(sizeof *again);
    assert_non_null(plan);
    assert_non_null(again);
    char what[300];
    for (uint64_t seed = 0; seed < 200; seed++) {
        plan_make(plan, seed);
        char *text = text_of(plan);
        assert_true(read_text(again, text, what));
        assert_int_equal(again->step_count, plan->step_count);
        assert_memory_equal(&again->disk, &plan->disk, sizeof plan->disk);
        for (size_t i = 0; i < plan->step_count; i++)
            assert_memory_equal(&again->steps[i], &plan->steps[i], sizeof plan->steps[i]);
        char *text_again = text_of(again);
        assert_string_equal(text_again, text);
        free(text);
        free(text_again);
    }
    free(plan);
    free(again);
}

static void a_line_that_means_nothing_is_named(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "fly\n",
        "1 fly\n",
        "1\n",
        "1 put key\n",
        "1 put key=\n",
        "1 put key=9\n",
        "x put key=1\n",
        "1 put key=1 size=-\n",
        "1 put key=1 sync=sometimes\n",
        "1 put key=1 store=1\n",
        "1 batch key=0,0,0,0,0,0,0,0,0\n",
        "disk speed=3\n",
    };
    struct plan *plan = malloc(sizeof *plan);
    assert_non_null(plan);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[200], what[300] = "";
        snprintf(text, sizeof text, "# a plan\nplan keys=4 stores=1\n%s", wrong[i]);
        assert_false(read_text(plan, text, what));
        assert_memory_equal(what, "line 3: ", 8);
        assert_non_null(strstr(what, wrong[i]));
    }
    free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_is_the_same_after_it_was_text),
        cmocka_unit_test(a_line_that_means_nothing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
