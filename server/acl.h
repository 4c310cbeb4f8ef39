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
struct acl_log;
struct acl_user;
struct client;
struct command;
struct command_call;

struct acl *acl_new(void); /* with the user "default": on, nopass, ~* &* +@all */
void acl_free(struct acl *acl);

/* `requirepass`: the password of the user "default"; "": none is needed. It stays so when a file is
 * loaded that does not speak of that user. Returns false for want of memory. */
bool acl_require(struct acl *acl, const char *password);

/* AUTH, HELLO AUTH, HTTP: acl_authenticate, unless there were more than `limit` failures (0: no
 * limit) from the address in this minute. A port behind the address's last ':' does not count. */
struct acl_user *acl_login(struct acl *acl, const char *address, uint64_t limit, uint64_t now_us,
                           bitcask_slice name, bitcask_slice password);

/* Is a try from there not looked at, as things are? */
bool acl_is_locked_out(struct acl *acl, const char *address, uint64_t limit, uint64_t now_us);

/* The same for a client: it is that user from then on. A failure is counted, noted in the journal
 * and in ACL LOG; one that was not looked at is counted only: it shall not fill the log. */
bool acl_client_login(struct client *client, bitcask_slice name, bitcask_slice password);

/* ACL LOG: the client was refused something: "command", "key" or "channel", and which. */
void acl_note_refusal(struct client *client, const char *reason, bitcask_slice object,
                      bitcask_slice user);
struct acl_log *acl_log_of(struct acl *acl);

/* The user of that name and password; NULL if there is none such, it is off, or the password is
 * wrong: all take the same time. The reference is given back by acl_user_release. */
struct acl_user *acl_authenticate(struct acl *acl, bitcask_slice name, bitcask_slice password);
struct acl_user *acl_user_find(struct acl *acl, bitcask_slice name); /* without a password */
void acl_user_release(struct acl_user *user);
const char *acl_user_name(const struct acl_user *user);
bool acl_default_is_open(struct acl *acl); /* a new connection needs no password */

/* One who may do everything, and is in no list: for whoever may open the store's own Unix socket,
 * and thus its files. */
struct acl_user *acl_owner(struct acl *acl);
bool acl_user_is_owner(const struct acl_user *user); /* NULL is not */

/* The newest version of the user; NULL if it is gone (its connections are closed). One that was set
 * `off` stays: as in Redis, that concerns logging in. Takes the given reference, gives one. Cost:
 * an atomic load as long as no user has changed. */
struct acl_user *acl_user_renew(struct acl *acl, struct acl_user *user);

/* Of the command words[0] is, as command_resolve finds it; keys are checked one by one. Passwords
 * and names of users are nobody's business: COMMAND_NO_AUTH is always allowed. */
enum acl_answer { ACL_ALLOWED, ACL_NO_COMMAND, ACL_NO_KEY, ACL_NO_CHANNEL };
/* May the user run this command with these words? *which is the word that is not allowed. */
enum acl_answer acl_check(const struct acl_user *user, const struct command_call *call,
                          size_t *which);
bool acl_check_key(const struct acl_user *user, bitcask_slice key, bool write);
bool acl_check_channel(const struct acl_user *user, bitcask_slice channel, bool is_pattern);

/* ACL SETUSER, DELUSER, LIST, ...: rules applied all or none. */
bool acl_set_user(struct acl *acl, bitcask_slice name, const bitcask_slice *rules, size_t count,
                  bitcask_error *error);
bool acl_delete_user(struct acl *acl, bitcask_slice name); /* false: there is none */
/* Each user, by name; under the lock. */
void acl_each(struct acl *acl, void (*each)(void *context, const struct acl_user *user),
              void *context);
/* "user NAME on ~* ...", ended by a NUL that is not counted; false for want of memory. */
bool acl_describe(const struct acl_user *user, bitcask_buffer *line);
/* Its parts, for ACL GETUSER: appended to `text`, words with a space between them. */
enum acl_part { ACL_FLAGS, ACL_PASSWORDS, ACL_COMMANDS, ACL_KEYS, ACL_CHANNELS };
bool acl_describe_part(const struct acl_user *user, enum acl_part part, bitcask_buffer *text);
/* The name of the category of that bit ("keyspace"); NULL past the last. 0: no such category. */
const char *acl_category_name(unsigned bit);
unsigned acl_category(bitcask_slice name);
bool acl_load_file(struct acl *acl, const char *path, bitcask_error *error); /* all or none */
bool acl_save_file(struct acl *acl, const char *path, bitcask_error *error);

#endif
