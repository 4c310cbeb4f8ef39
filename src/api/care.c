/* SPDX-License-Identifier: MIT
 * care.c: the public functions that look after a store: verify, backup. */
#include "api/api.h"
#include "engine/backup.h"
#include "engine/verify.h"

bitcask_status bitcask_backup(bitcask *db, const char *directory,
                              const bitcask_backup_options *given, bitcask_backup_result *result,
                              bitcask_error *error)
{
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK && (directory == NULL || directory[0] == 0))
        status = error_set(error, BITCASK_INVALID, "no directory given");
    if (status == BITCASK_OK)
        status = api_read_struct(&options, sizeof options, given, "bitcask_backup_options", error);
    if (status != BITCASK_OK)
        return status;
    struct store *store = api_store(db);
    bitcask_backup_result full = {.struct_size = sizeof full};
    status = backup_run(store, api_os_disk(store->os), directory, &options, &full, error);
    if (result != NULL)
        api_write_struct(result, &full, sizeof full);
    return status;
}

bitcask_status bitcask_verify(bitcask *db, const bitcask_verify_options *given,
                              bitcask_verify_result *result, bitcask_error *error)
{
    bitcask_verify_options options;
    bitcask_verify_options_init(&options);
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK)
        status = api_read_struct(&options, sizeof options, given, "bitcask_verify_options", error);
    if (status != BITCASK_OK)
        return status;
    bitcask_verify_result full = {.struct_size = sizeof full};
    status = verify_run_with(api_store(db), &options, &full, error);
    if (result != NULL)
        api_write_struct(result, &full, sizeof full);
    return status;
}
