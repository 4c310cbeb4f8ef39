/* SPDX-License-Identifier: MIT
 * error.c: filling in a bitcask_error. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

bitcask_status error_set(bitcask_error *error, bitcask_status status, const char *format, ...)
{
    if (error == NULL)
        return status;
    memset(error, 0, sizeof *error);
    error->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return status;
}

static bitcask_status status_of_errno(int number)
{
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return BITCASK_NO_SPACE;
    case ENOMEM:
        return BITCASK_NO_MEMORY;
    default:
        return BITCASK_IO;
    }
}

bitcask_status error_set_os(bitcask_error *error, int negative_errno, const char *format, ...)
{
    CHECK(negative_errno < 0);
    bitcask_status status = status_of_errno(-negative_errno);
    if (error == NULL)
        return status;
    memset(error, 0, sizeof *error);
    error->status = status;
    error->sys_errno = -negative_errno;
    va_list args;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    char text[128];
    size_t used = strlen(error->message);
    snprintf(error->message + used, sizeof error->message - used, ": %s",
             strerror_r(-negative_errno, text, sizeof text));
    return status;
}

void error_at(bitcask_error *error, uint64_t segment, uint64_t offset)
{
    if (error == NULL)
        return;
    error->segment = segment;
    error->offset = offset;
}

void error_prefix(bitcask_error *error, const char *format, ...)
{
    if (error == NULL)
        return;
    char clause[sizeof error->message];
    va_list args;
    va_start(args, format);
    vsnprintf(clause, sizeof clause, format, args);
    va_end(args);
    /* What is cut off where the two do not fit is the end: the cause, but the place is kept. */
    char message[2 * sizeof error->message + 2];
    snprintf(message, sizeof message, "%s: %s", clause, error->message);
    memcpy(error->message, message, sizeof error->message - 1);
    error->message[sizeof error->message - 1] = 0;
}
