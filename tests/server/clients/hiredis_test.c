/* SPDX-License-Identifier: MIT
 * hiredis_test.c PORT SOCKET: the server with hiredis, as a C program would use it. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void stop(const char *what)
{
    fprintf(stderr, "hiredis: %s\n", what);
    exit(1);
}

static void expect(redisReply *reply, int type, const char *text)
{
    if (reply == NULL || reply->type != type || (text != NULL && strcmp(reply->str, text) != 0))
        stop(text != NULL ? text : "another type of reply");
    freeReplyObject(reply);
}

static void try_all(redisContext *redis)
{
    char bytes[256];
    redisReply *reply;
    if (redis == NULL || redis->err != 0)
        stop(redis == NULL ? "no context" : redis->errstr);
    expect(redisCommand(redis, "SET %s %s", "city", "Utrecht"), REDIS_REPLY_STATUS, "OK");
    expect(redisCommand(redis, "GET city"), REDIS_REPLY_STRING, "Utrecht");
    expect(redisCommand(redis, "GET missing"), REDIS_REPLY_NIL, NULL);
    expect(redisCommand(redis, "STRLEN city"), REDIS_REPLY_INTEGER, NULL);
    expect(redisCommand(redis, "INCR city"), REDIS_REPLY_ERROR,
           "ERR value is not an integer or out of range");
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    expect(redisCommand(redis, "SET %b %b", bytes, sizeof bytes, bytes, sizeof bytes),
           REDIS_REPLY_STATUS, "OK");
    reply = redisCommand(redis, "GET %b", bytes, sizeof bytes);
    if (reply == NULL || reply->len != sizeof bytes || memcmp(reply->str, bytes, sizeof bytes) != 0)
        stop("other bytes");
    freeReplyObject(reply);
    for (int i = 0; i < 1000; i++)
        redisAppendCommand(redis, "SET p:%d %d", i, i);
    for (int i = 0; i < 1000; i++)
        if (redisGetReply(redis, (void **)&reply) != REDIS_OK)
            stop(redis->errstr);
        else
            expect(reply, REDIS_REPLY_STATUS, "OK");
    reply = redisCommand(redis, "MGET p:1 missing p:999");
    if (reply == NULL || reply->elements != 3 || strcmp(reply->element[2]->str, "999") != 0)
        stop("MGET");
    freeReplyObject(reply);
    redisFree(redis);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    try_all(redisConnect("127.0.0.1", atoi(argv[1])));
    try_all(redisConnectUnix(argv[2]));
    return 0;
}
