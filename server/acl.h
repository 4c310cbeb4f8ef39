/* SPDX-License-Identifier: MIT
 * acl.h: users, passwords, and what they may do.
 *
 * A subset of Redis 7's ACL: on, off, nopass, resetpass, >password, <password, #sha256, !sha256,
 * allcommands, nocommands, +command, -command, +command|subcommand, +@category, -@category,
 * allkeys, ~pattern, %R~pattern, %W~pattern, resetkeys, allchannels, &pattern, resetchannels,
 * reset. Passwords are kept as SHA-256 and compared in constant time; after too many failures in a
 * minute (setting auth-failures-per-minute, by address) further tries are answered without looking.
 *
 * Users are immutable once made: ACL SETUSER makes a new version, clients keep a reference to the
 * one they authenticated as and look for a newer one by a counter. */
#ifndef SERVER_ACL_H
#define SERVER_ACL_H

#include <stdbool.h>
#include <stddef.h>

#include "bitcask.h"

struct acl;
struct acl_user;
struct command;
struct command_call;

struct acl *acl_new(void); /* with the user "default": on, nopass, ~* &* +@all */
void acl_free(struct acl *acl);

/* The user of that name and password; NULL if there is none such, it is off, or the password is
 * wrong: all take the same time. The reference is given back by acl_user_release. */
struct acl_user *acl_authenticate(struct acl *acl, bitcask_slice name, bitcask_slice password);
struct acl_user *acl_user_find(struct acl *acl, bitcask_slice name); /* without a password */
void acl_user_release(struct acl_user *user);
const char *acl_user_name(const struct acl_user *user);
bool acl_default_is_open(struct acl *acl); /* a new connection needs no password */

/* The newest version of the user; NULL if it is gone or off. Takes the given reference, gives one.
 */
struct acl_user *acl_user_renew(struct acl *acl, struct acl_user *user);

enum acl_answer { ACL_ALLOWED, ACL_NO_COMMAND, ACL_NO_KEY, ACL_NO_CHANNEL };
/* May the user run this command with these words? *which is the word that is not allowed. */
enum acl_answer acl_check(const struct acl_user *user, const struct command_call *call,
                          size_t *which);
bool acl_check_key(const struct acl_user *user, bitcask_slice key, bool write);
bool acl_check_channel(const struct acl_user *user, bitcask_slice channel, bool is_pattern);

/* ACL SETUSER, DELUSER, LIST, ...: rules applied all or none. */
bool acl_set_user(struct acl *acl, bitcask_slice name, const bitcask_slice *rules, size_t count,
                  bitcask_error *error);
bool acl_delete_user(struct acl *acl, bitcask_slice name);
/* "user NAME on ~* ..." of each user, by name. */
void acl_each(struct acl *acl, void (*each)(void *context, const struct acl_user *user),
              void *context);
void acl_describe(const struct acl_user *user, bitcask_buffer *line);
bool acl_load_file(struct acl *acl, const char *path, bitcask_error *error); /* all or none */
bool acl_save_file(struct acl *acl, const char *path, bitcask_error *error);

#endif
