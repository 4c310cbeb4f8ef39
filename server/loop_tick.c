/* SPDX-License-Identifier: MIT
 * loop_tick.c: what a loop looks at from time to time: limits that time is a part of. */
#include "accept.h"
#include "client.h"
#include "loop_internal.h"
#include "metrics.h"
#include "settings.h"

enum { AUTH_LIMIT_US = 60000000 /* how long one may be nobody */ };

static struct output_limit limit_of(const struct settings *settings, enum output_class class)
{
    struct output_limit limit = settings_output_limit(settings, class);
    if (limit.hard == 0)
        limit.hard = SIZE_MAX;
    if (limit.soft == 0)
        limit.soft = SIZE_MAX;
    return limit;
}

void loop_take_settings(struct loop *loop)
{
    const struct settings *settings = loop->server->settings;
    const char *text = setting_text(settings, SETTING_CLIENT_OUTPUT_BUFFER_LIMIT);
    if (text == loop->limits_text)
        return;
    loop->limits_text = text;
    loop->normal_limit = limit_of(settings, OUTPUT_NORMAL);
    loop->pubsub_limit = limit_of(settings, OUTPUT_PUBSUB);
}

/* A client may be younger than the pass. */
static uint64_t since_us(const struct loop *loop, uint64_t then_us)
{
    return loop->monotonic_us > then_us ? loop->monotonic_us - then_us : 0;
}

static bool listens(const struct client *client)
{
    return client_is_subscribed(client) || client->flags & CLIENT_MONITOR;
}

static bool is_idle(const struct loop *loop, const struct client *client)
{
    uint64_t limit_us = setting_number(loop->server->settings, SETTING_TIMEOUT) * 1000000;
    if (client->user == NULL && since_us(loop, client->created_us) > AUTH_LIMIT_US)
        return true;
    return limit_us != 0 && since_us(loop, client->last_us) > limit_us && !listens(client);
}

/* Has more than the soft limit waited for it for as long as that allows, at every look and without
 * an end between them (finish_client)? */
static bool reads_too_slowly(const struct loop *loop, struct client *client)
{
    const struct output_limit *limit = listens(client) ? &loop->pubsub_limit : &loop->normal_limit;
    uint64_t *over_us = &client->of_loop.over_soft_us;
    if (output_pending(client->out) <= limit->soft)
        *over_us = 0;
    else if (*over_us == 0)
        *over_us = loop->monotonic_us;
    return *over_us != 0 && since_us(loop, *over_us) / 1000000 >= limit->soft_s &&
           since_us(loop, *over_us) > 0;
}

void loop_tick(struct loop *loop)
{
    if (loop->monotonic_us < loop->next_tick_us)
        return;
    loop->next_tick_us = loop->monotonic_us + LOOP_TICK_MS * 1000;
    for (struct client *client = loop->clients; client; client = client->of_loop.next) {
        if (is_idle(loop, client)) {
            metrics_add(loop->server->metrics, loop->slot, METRIC_IDLE_CLOSES, 1);
            client->flags |= CLIENT_CLOSE_NOW;
            loop_activate(loop, client);
        } else if (reads_too_slowly(loop, client)) {
            client->out->broken = true;
            loop_activate(loop, client);
        }
    }
    loop_resume_accepting(loop);
}
