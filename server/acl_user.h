/* SPDX-License-Identifier: MIT
 * acl_user.h: a user, for those who make and check users. */
#ifndef SERVER_ACL_USER_H
#define SERVER_ACL_USER_H

#include <stdatomic.h>

#include "acl.h"

enum { ACL_HASH_SIZE = 32, ACL_MAX_NAME_SIZE = 64 };

enum acl_access { ACL_READ = 1, ACL_WRITE = 2 };

struct acl_pattern {
    unsigned access; /* of channels: 0 */
    size_t size;
    char *text;
};

struct acl_patterns {
    bool all;
    size_t count;
    struct acl_pattern *list;
};

struct acl_hash {
    unsigned char bytes[ACL_HASH_SIZE];
};

/* Nobody changes it once it can be found. */
struct acl_user {
    atomic_uint references;
    _Atomic uint64_t seen; /* the generation of users in which this one was current */
    bool owner;            /* acl_owner */
    bool on, nopass;
    enum { ACL_UNSAID, ACL_SANITIZE, ACL_SKIP_SANITIZE } sanitize; /* shown, and means nothing */
    char *name;
    struct acl_hash *hashes;
    size_t hash_count;
    struct acl_patterns keys, channels;
    bool all_commands; /* what the rules below begin with: +@all or -@all */
    char **rules;      /* "+get", "-@admin": later ones win */
    size_t rule_count;
    unsigned char *allowed; /* a bit for each command, by its index */
};

/* Off, nothing allowed. NULL for want of memory. The reference is the caller's. */
struct acl_user *acl_user_new(const char *name);
struct acl_user *acl_user_copy(const struct acl_user *user);

/* Apply one rule to a user nobody else has. Returns NULL, or what is wrong with it. */
const char *acl_user_apply(struct acl_user *user, bitcask_slice rule);

/* A list of users in the making: acl_load_file. */
struct acl_parse {
    struct acl_user **users;
    size_t count;
};
bool acl_parse_user(struct acl_parse *parse, bitcask_slice name, const bitcask_slice *rules,
                    size_t count, bitcask_error *error);
/* Make it the list of users if it is good, with "default" if nobody spoke of it; else forget it. */
bool acl_parse_finish(struct acl *acl, struct acl_parse *parse, bool good, bitcask_error *error);

void acl_hash_of(bitcask_slice password, struct acl_hash *hash);
bool acl_user_has_password(const struct acl_user *user, const struct acl_hash *hash);

#endif
