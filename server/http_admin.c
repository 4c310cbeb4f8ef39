/* SPDX-License-Identifier: MIT
 * http_admin.c: merge, verify, backup. They run beside everything else (jobs.h) and are answered at
 * once; /v1/status tells how they go on. All need the token. */
#include <stdio.h>
#include <string.h>

#include "http_request.h"
#include "jobs.h"
#include "json_in.h"
#include "settings.h"

static void start(struct http_request *request, enum job_kind kind, const char *directory, bool all)
{
    bitcask_error error = {0};
    bitcask_status status = jobs_start(request->server, kind, directory, all, &error);
    if (status != BITCASK_OK) {
        http_reply_status(request, status, &error);
        return;
    }
    struct text json = {0};
    text_json(&json, "{\"status\":\"started\"");
    text_member(&json, "job");
    text_string_c(&json, job_name(kind));
    if (directory != NULL) {
        text_member(&json, "directory");
        text_string_c(&json, directory);
    }
    text_close(&json, '}');
    http_reply_json(request, 202, &json);
}

/* {"all": true}: every segment, also those that are not worth it. */
void http_admin_merge(struct http_request *request)
{
    bitcask_slice body, all;
    bool every = json_in_is_valid(http_body(request), &body) && json_in_find(body, "all", &all) &&
                 json_in_kind(all) == 't';
    start(request, JOB_MERGE, NULL, every);
}

void http_admin_verify(struct http_request *request)
{
    start(request, JOB_VERIFY, NULL, false);
}

/* One name inside backup-dir: no path, nothing hidden. */
static bool name_is_good(const char *name, size_t size)
{
    if (size == 0 || size > 100 || name[0] == '.' || name[0] == '-')
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '-' || c == '_'))
            return false;
    }
    return true;
}

/* {"name": "monday"}: into backup-dir/monday. */
void http_admin_backup(struct http_request *request)
{
    const char *where = setting_text(request->server->settings, SETTING_BACKUP_DIR);
    bitcask_slice body, value;
    struct text name = {0};
    char directory[4096];
    if (where[0] == '\0') {
        http_reply_error(request, 409, "the setting backup-dir says where backups go; it is empty");
        return;
    }
    bool named = json_in_is_valid(http_body(request), &body) &&
                 json_in_find(body, "name", &value) && json_in_string(value, &name) &&
                 !name.failed && name_is_good(name.data, name.size);
    if (!named)
        http_reply_error(request, 400,
                         "the body is {\"name\": \"...\"} of letters, digits, dots, - and _");
    else if (snprintf(directory, sizeof directory, "%s/%.*s", where, (int)name.size, name.data) >=
             (int)sizeof directory)
        http_reply_error(request, 400, "the path of the backup is too long");
    else
        start(request, JOB_BACKUP, directory, false);
    text_release(&name);
}

/* Stop the merge that runs, whoever began it. */
void http_admin_cancel(struct http_request *request)
{
    bitcask_error error = {0};
    bitcask_status status = bitcask_merge_cancel(request->server->store, &error);
    if (status != BITCASK_OK)
        http_reply_status(request, status, &error);
    else
        http_reply_empty(request, 204);
}
