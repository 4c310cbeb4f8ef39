/* SPDX-License-Identifier: MIT
 * acl.c: all users; logging in.
 * Threads: the mutex guards the list, not the users, which nobody changes; the generation is raised
 * whenever a user is replaced, so that clients know when to look again. */
#include "acl.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl_failures.h"
#include "acl_log.h"
#include "acl_user.h"

struct acl {
    pthread_mutex_t mutex;
    struct acl_user **users; /* by name */
    size_t count;
    _Atomic uint64_t generation;
    char *required; /* requirepass, or NULL */
    struct acl_user *owner;
    struct acl_failures failures;
    struct acl_log log;
};

static bool fail(bitcask_error *error, const char *message)
{
    if (error != NULL) {
        memset(error, 0, sizeof *error);
        error->status = BITCASK_INVALID;
        snprintf(error->message, sizeof error->message, "%s", message);
    }
    return false;
}

static struct acl_user *share(struct acl_user *user)
{
    if (user != NULL)
        atomic_fetch_add(&user->references, 1);
    return user;
}

/* ---- The list ------------------------------------------------------------------------------- */

struct user_list {
    struct acl_user **users;
    size_t count;
};

static int compare(const struct acl_user *user, bitcask_slice name)
{
    size_t size = strlen(user->name), common = size < name.size ? size : name.size;
    int order = memcmp(user->name, name.data, common);
    return order != 0 ? order : (size > name.size) - (size < name.size);
}

/* Where the name is, or would be. */
static size_t place_of(const struct user_list *list, bitcask_slice name, bool *found)
{
    size_t i = 0;
    int order = -1;
    while (i < list->count && (order = compare(list->users[i], name)) < 0)
        i++;
    *found = i < list->count && order == 0;
    return i;
}

/* Put in or replace; takes the reference over, also when it fails. */
static bool put(struct user_list *list, struct acl_user *user)
{
    bool found;
    size_t i = place_of(list, bitcask_str(user->name), &found);
    if (found) {
        acl_user_release(list->users[i]);
        list->users[i] = user;
        return true;
    }
    struct acl_user **users = realloc(list->users, (list->count + 1) * sizeof(struct acl_user *));
    if (users == NULL) {
        acl_user_release(user);
        return false;
    }
    list->users = users;
    memmove(&users[i + 1], &users[i], (list->count - i) * sizeof(struct acl_user *));
    users[i] = user;
    list->count++;
    return true;
}

static void release_all(struct user_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        acl_user_release(list->users[i]);
    free(list->users);
    *list = (struct user_list){0};
}

static struct acl_user *find(struct acl *acl, bitcask_slice name)
{
    struct user_list list = {acl->users, acl->count};
    bool found;
    size_t i = place_of(&list, name, &found);
    return found ? list.users[i] : NULL;
}

static bool replace(struct acl *acl, struct acl_user *user)
{
    struct user_list list = {acl->users, acl->count};
    bool good = put(&list, user);
    acl->users = list.users;
    acl->count = list.count;
    atomic_fetch_add(&acl->generation, 1);
    return good;
}

/* ---- Beginning and end ---------------------------------------------------------------------- */

/* "default" as it is without a word said of it, but for the password. NULL for want of memory. */
static struct acl_user *make_default(const char *password)
{
    static const char *const rules[] = {"on", "nopass", "~*", "&*", "+@all"};
    struct acl_user *user = acl_user_new("default");
    bool good = user != NULL;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0] && good; i++)
        good = acl_user_apply(user, bitcask_str(rules[i])) == NULL;
    if (good && password != NULL) {
        struct acl_hash hash;
        acl_hash_of(bitcask_str(password), &hash);
        user->nopass = false;
        user->hashes = malloc(sizeof hash);
        good = user->hashes != NULL;
        if (good)
            user->hashes[user->hash_count++] = hash;
    }
    if (!good) {
        acl_user_release(user);
        return NULL;
    }
    return user;
}

struct acl *acl_new(void)
{
    struct acl *acl = calloc(1, sizeof *acl);
    if (acl == NULL)
        return NULL;
    pthread_mutex_init(&acl->mutex, NULL);
    acl_failures_init(&acl->failures);
    acl_log_init(&acl->log);
    struct acl_user *user = make_default(NULL);
    acl->owner = make_default(NULL);
    if (acl->owner == NULL || user == NULL || !replace(acl, user)) {
        acl_free(acl);
        return NULL;
    }
    acl->owner->owner = true;
    return acl;
}

void acl_free(struct acl *acl)
{
    if (acl == NULL)
        return;
    struct user_list list = {acl->users, acl->count};
    release_all(&list);
    acl_user_release(acl->owner);
    if (acl->required != NULL)
        explicit_bzero(acl->required, strlen(acl->required));
    free(acl->required);
    acl_failures_release(&acl->failures);
    acl_log_release(&acl->log);
    pthread_mutex_destroy(&acl->mutex);
    free(acl);
}

struct acl_log *acl_log_of(struct acl *acl)
{
    return &acl->log;
}

struct acl_user *acl_owner(struct acl *acl)
{
    return share(acl->owner);
}

bool acl_user_is_owner(const struct acl_user *user)
{
    return user != NULL && user->owner;
}

bool acl_require(struct acl *acl, const char *password)
{
    char *copy = password[0] == '\0' ? NULL : strdup(password);
    if (copy == NULL && password[0] != '\0')
        return false;
    pthread_mutex_lock(&acl->mutex);
    struct acl_user *user = acl_user_copy(find(acl, bitcask_str("default")));
    bool good = user != NULL;
    if (good) {
        user->nopass = copy == NULL;
        user->hash_count = 0;
        struct acl_hash hash;
        if (copy != NULL) {
            acl_hash_of(bitcask_str(copy), &hash);
            user->hashes[user->hash_count++] = hash; /* a copy has room for one more */
        }
        good = replace(acl, user);
    }
    if (good) {
        free(acl->required);
        acl->required = copy;
    }
    pthread_mutex_unlock(&acl->mutex);
    return good;
}

/* ---- Logging in ----------------------------------------------------------------------------- */

struct acl_user *acl_authenticate(struct acl *acl, bitcask_slice name, bitcask_slice password)
{
    struct acl_hash hash;
    acl_hash_of(password, &hash);
    pthread_mutex_lock(&acl->mutex);
    struct acl_user *user = find(acl, name);
    /* Nobody's passwords are compared for a name that there is not. */
    bool right = acl_user_has_password(user != NULL ? user : acl->owner, &hash);
    bool good = user != NULL && user->on && (user->nopass || right);
    share(good ? user : NULL);
    pthread_mutex_unlock(&acl->mutex);
    return good ? user : NULL;
}

bool acl_is_locked_out(struct acl *acl, const char *address, uint64_t limit, uint64_t now_us)
{
    return limit > 0 && acl_failures_count(&acl->failures, address, now_us) >= limit;
}

struct acl_user *acl_login(struct acl *acl, const char *address, uint64_t limit, uint64_t now_us,
                           bitcask_slice name, bitcask_slice password)
{
    if (acl_is_locked_out(acl, address, limit, now_us))
        return NULL;
    struct acl_user *user = acl_authenticate(acl, name, password);
    if (user == NULL && limit > 0)
        acl_failures_note(&acl->failures, address, now_us);
    return user;
}

struct acl_user *acl_user_find(struct acl *acl, bitcask_slice name)
{
    pthread_mutex_lock(&acl->mutex);
    struct acl_user *user = share(find(acl, name));
    pthread_mutex_unlock(&acl->mutex);
    return user;
}

bool acl_default_is_open(struct acl *acl)
{
    pthread_mutex_lock(&acl->mutex);
    const struct acl_user *user = find(acl, bitcask_str("default"));
    bool open = user != NULL && user->on && user->nopass;
    pthread_mutex_unlock(&acl->mutex);
    return open;
}

struct acl_user *acl_user_renew(struct acl *acl, struct acl_user *user)
{
    if (user->owner || atomic_load_explicit(&user->seen, memory_order_relaxed) ==
                           atomic_load_explicit(&acl->generation, memory_order_acquire))
        return user;
    pthread_mutex_lock(&acl->mutex);
    struct acl_user *newest = share(find(acl, bitcask_str(user->name)));
    if (newest != NULL)
        atomic_store(&newest->seen, atomic_load(&acl->generation));
    pthread_mutex_unlock(&acl->mutex);
    acl_user_release(user);
    return newest;
}

/* ---- Changing users ------------------------------------------------------------------------- */

static bool name_is_good(bitcask_slice name)
{
    const unsigned char *p = name.data;
    for (size_t i = 0; i < name.size; i++)
        if (p[i] <= ' ' || p[i] == 0x7F) /* a space would end it in the file, a newline the line */
            return false;
    return name.size > 0 && name.size <= ACL_MAX_NAME_SIZE;
}

/* The user of that name in the list, changed by the rules; or a new one. NULL with an error. */
static struct acl_user *make_user(const struct user_list *list, bitcask_slice name,
                                  const bitcask_slice *rules, size_t count, const char *what,
                                  bitcask_error *error)
{
    char text[ACL_MAX_NAME_SIZE + 1];
    if (!name_is_good(name)) {
        fail(error, "Usernames can't contain spaces or null characters");
        return NULL;
    }
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    bool found;
    size_t i = place_of(list, name, &found);
    struct acl_user *user = found ? acl_user_copy(list->users[i]) : acl_user_new(text);
    if (user == NULL) {
        fail(error, "out of memory");
        return NULL;
    }
    for (size_t rule = 0; rule < count; rule++) {
        const char *why = acl_user_apply(user, rules[rule]);
        if (why == NULL)
            continue;
        char message[sizeof error->message];
        snprintf(message, sizeof message, "%s modifier '%.*s': %s", what,
                 rules[rule].size > 80 ? 80 : (int)rules[rule].size, (const char *)rules[rule].data,
                 why);
        fail(error, message);
        acl_user_release(user);
        return NULL;
    }
    return user;
}

bool acl_set_user(struct acl *acl, bitcask_slice name, const bitcask_slice *rules, size_t count,
                  bitcask_error *error)
{
    pthread_mutex_lock(&acl->mutex);
    struct user_list list = {acl->users, acl->count};
    struct acl_user *user = make_user(&list, name, rules, count, "Error in ACL SETUSER", error);
    bool good = user != NULL && (replace(acl, user) || fail(error, "out of memory"));
    pthread_mutex_unlock(&acl->mutex);
    return good;
}

bool acl_delete_user(struct acl *acl, bitcask_slice name)
{
    pthread_mutex_lock(&acl->mutex);
    struct user_list list = {acl->users, acl->count};
    bool found;
    size_t i = place_of(&list, name, &found);
    if (found && strcmp(list.users[i]->name, "default") != 0) {
        acl_user_release(list.users[i]);
        memmove(&list.users[i], &list.users[i + 1],
                (list.count - i - 1) * sizeof(struct acl_user *));
        acl->count--;
        atomic_fetch_add(&acl->generation, 1);
    } else {
        found = false;
    }
    pthread_mutex_unlock(&acl->mutex);
    return found;
}

void acl_each(struct acl *acl, void (*each)(void *context, const struct acl_user *user),
              void *context)
{
    pthread_mutex_lock(&acl->mutex);
    for (size_t i = 0; i < acl->count; i++)
        each(context, acl->users[i]);
    pthread_mutex_unlock(&acl->mutex);
}

/* ---- The file ------------------------------------------------------------------------------- */

bool acl_parse_user(struct acl_parse *parse, bitcask_slice name, const bitcask_slice *rules,
                    size_t count, bitcask_error *error)
{
    struct user_list list = {parse->users, parse->count};
    bool found;
    place_of(&list, name, &found);
    if (found)
        return fail(error, "the user is there twice");
    struct acl_user *user = make_user(&list, name, rules, count, "Error in", error);
    bool good = user != NULL && (put(&list, user) || fail(error, "out of memory"));
    parse->users = list.users;
    parse->count = list.count;
    return good;
}

bool acl_parse_finish(struct acl *acl, struct acl_parse *parse, bool good, bitcask_error *error)
{
    struct user_list list = {parse->users, parse->count};
    pthread_mutex_lock(&acl->mutex);
    bool found = true;
    if (good)
        place_of(&list, bitcask_str("default"), &found);
    if (!found) {
        struct acl_user *user = make_default(acl->required);
        good = user != NULL && put(&list, user);
        if (!good)
            fail(error, "out of memory");
    }
    if (good) {
        struct user_list old = {acl->users, acl->count};
        acl->users = list.users;
        acl->count = list.count;
        list = old;
        atomic_fetch_add(&acl->generation, 1);
    }
    pthread_mutex_unlock(&acl->mutex);
    release_all(&list);
    *parse = (struct acl_parse){0};
    return good;
}
