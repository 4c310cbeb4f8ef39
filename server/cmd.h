/* SPDX-License-Identifier: MIT
 * cmd.h: the functions of the commands, as command_table.c names them. */
#ifndef SERVER_CMD_H
#define SERVER_CMD_H

#include "command.h"

command_fn cmd_other; /* of COMMAND_OTHER_TYPE */

/* Strings */
command_fn cmd_get;
command_fn cmd_set;
command_fn cmd_setnx;
command_fn cmd_setex;
command_fn cmd_psetex;
command_fn cmd_getset;
command_fn cmd_getdel;
command_fn cmd_getex;
command_fn cmd_mget;
command_fn cmd_mset;
command_fn cmd_msetnx;
command_fn cmd_append;
command_fn cmd_strlen;
command_fn cmd_getrange;
command_fn cmd_substr;
command_fn cmd_setrange;
command_fn cmd_incr;
command_fn cmd_decr;
command_fn cmd_incrby;
command_fn cmd_decrby;
command_fn cmd_incrbyfloat;
command_fn cmd_lcs;

/* Bits */
command_fn cmd_setbit;
command_fn cmd_getbit;
command_fn cmd_bitcount;

/* Keys */
command_fn cmd_del;
command_fn cmd_unlink;
command_fn cmd_exists;
command_fn cmd_type;
command_fn cmd_expire;
command_fn cmd_pexpire;
command_fn cmd_expireat;
command_fn cmd_pexpireat;
command_fn cmd_ttl;
command_fn cmd_pttl;
command_fn cmd_expiretime;
command_fn cmd_pexpiretime;
command_fn cmd_persist;
command_fn cmd_touch;
command_fn cmd_rename;
command_fn cmd_renamenx;
command_fn cmd_copy;
command_fn cmd_keys;
command_fn cmd_scan;
command_fn cmd_randomkey;
command_fn cmd_dbsize;
command_fn cmd_flushall;
command_fn cmd_flushdb;
command_fn cmd_object_encoding;
command_fn cmd_object_freq;
command_fn cmd_object_idletime;
command_fn cmd_object_refcount;
command_fn cmd_object_help;

/* Connections */
command_fn cmd_ping;
command_fn cmd_echo;
command_fn cmd_quit;
command_fn cmd_hello;
command_fn cmd_auth;
command_fn cmd_select;
command_fn cmd_reset;

/* CLIENT */
command_fn cmd_client_getname;
command_fn cmd_client_help;
command_fn cmd_client_id;
command_fn cmd_client_info;
command_fn cmd_client_kill;
command_fn cmd_client_list;
command_fn cmd_client_no_evict;
command_fn cmd_client_pause;
command_fn cmd_client_reply;
command_fn cmd_client_setinfo;
command_fn cmd_client_setname;
command_fn cmd_client_unpause;

/* COMMAND */
command_fn cmd_command;
command_fn cmd_command_count;
command_fn cmd_command_docs;
command_fn cmd_command_getkeys;
command_fn cmd_command_getkeysandflags;
command_fn cmd_command_help;
command_fn cmd_command_info;
command_fn cmd_command_list;

/* Transactions */
command_fn cmd_multi;
command_fn cmd_exec;
command_fn cmd_discard;
command_fn cmd_watch;
command_fn cmd_unwatch;

/* Messages */
command_fn cmd_subscribe;
command_fn cmd_psubscribe;
command_fn cmd_ssubscribe;
command_fn cmd_unsubscribe;
command_fn cmd_punsubscribe;
command_fn cmd_sunsubscribe;
command_fn cmd_publish;
command_fn cmd_spublish;
command_fn cmd_pubsub_channels;
command_fn cmd_pubsub_help;
command_fn cmd_pubsub_numpat;
command_fn cmd_pubsub_numsub;
command_fn cmd_pubsub_shardchannels;
command_fn cmd_pubsub_shardnumsub;
command_fn cmd_monitor;

/* ACL */
command_fn cmd_acl_cat;
command_fn cmd_acl_deluser;
command_fn cmd_acl_dryrun;
command_fn cmd_acl_genpass;
command_fn cmd_acl_getuser;
command_fn cmd_acl_help;
command_fn cmd_acl_list;
command_fn cmd_acl_load;
command_fn cmd_acl_log;
command_fn cmd_acl_save;
command_fn cmd_acl_setuser;
command_fn cmd_acl_users;
command_fn cmd_acl_whoami;

/* The server, CONFIG */
command_fn cmd_bgrewriteaof;
command_fn cmd_bgsave;
command_fn cmd_cluster;
command_fn cmd_config_get;
command_fn cmd_config_help;
command_fn cmd_config_resetstat;
command_fn cmd_config_rewrite;
command_fn cmd_config_set;
command_fn cmd_debug;
command_fn cmd_function_flush;
command_fn cmd_function_help;
command_fn cmd_function_list;
command_fn cmd_info;
command_fn cmd_lastsave;
command_fn cmd_latency_doctor;
command_fn cmd_latency_graph;
command_fn cmd_latency_help;
command_fn cmd_latency_histogram;
command_fn cmd_latency_history;
command_fn cmd_latency_latest;
command_fn cmd_latency_reset;
command_fn cmd_lolwut;
command_fn cmd_memory_doctor;
command_fn cmd_memory_help;
command_fn cmd_memory_malloc_stats;
command_fn cmd_memory_purge;
command_fn cmd_memory_stats;
command_fn cmd_memory_usage;
command_fn cmd_module_list;
command_fn cmd_readonly;
command_fn cmd_readwrite;
command_fn cmd_asking;
command_fn cmd_replicaof;
command_fn cmd_role;
command_fn cmd_save;
command_fn cmd_script_exists;
command_fn cmd_script_flush;
command_fn cmd_script_help;
command_fn cmd_script_kill;
command_fn cmd_shutdown;
command_fn cmd_slaveof;
command_fn cmd_slowlog_get;
command_fn cmd_slowlog_help;
command_fn cmd_slowlog_len;
command_fn cmd_slowlog_reset;
command_fn cmd_time;
command_fn cmd_wait;

/* Ours */
command_fn cmd_bc_backup;
command_fn cmd_bc_expire;
command_fn cmd_bc_get;
command_fn cmd_bc_jobs;
command_fn cmd_bc_merge;
command_fn cmd_bc_put;
command_fn cmd_bc_snapshot_create;
command_fn cmd_bc_snapshot_drop;
command_fn cmd_bc_snapshot_get;
command_fn cmd_bc_snapshot_help;
command_fn cmd_bc_snapshot_list;
command_fn cmd_bc_stat;
command_fn cmd_bc_stats;
command_fn cmd_bc_status;
command_fn cmd_bc_sync;
command_fn cmd_bc_verify;
command_fn cmd_bc_write;

#endif
