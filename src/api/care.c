/* SPDX-License-Identifier: MIT
 * care.c: the public functions that look after a store: verify, backup, repair, salvage. */
#include "api/api.h"
#include "engine/backup.h"
#include "engine/repair.h"
#include "engine/salvage.h"
#include "engine/trim.h"
#include "engine/verify.h"

bitcask_status bitcask_backup(bitcask *db, const char *directory,
                              const bitcask_backup_options *given, bitcask_backup_result *result,
                              bitcask_error *error)
{
    bitcask_backup_options options;
    bitcask_backup_options_init(&options);
    bitcask_status status = api_check_store(db, error);
    if (status == BITCASK_OK)
        status = api_check_not_following(db, "back up", error);
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
        status = api_check_not_following(db, "verify", error);
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

bitcask_status bitcask_trim(bitcask *db, bitcask_error *error)
{
    bitcask_status status = api_check_store(db, error);
    return status == BITCASK_OK ? trim_pages(api_store(db), error) : status;
}

bitcask_status bitcask_repair(const char *directory, const bitcask_repair_options *given,
                              bitcask_repair_result *result, bitcask_error *error)
{
    bitcask_repair_options options;
    bitcask_repair_options_init(&options);
    if (directory == NULL || directory[0] == 0)
        return error_set(error, BITCASK_INVALID, "no directory given");
    bitcask_status status =
        api_read_struct(&options, sizeof options, given, "bitcask_repair_options", error);
    if (status != BITCASK_OK)
        return status;
    bitcask_repair_result full = {.struct_size = sizeof full};
    status = repair_run(os_posix(), directory, &options, &full, error);
    if (result != NULL)
        api_write_struct(result, &full, sizeof full);
    return status;
}

bitcask_status bitcask_salvage(const char *const *files, size_t count, const char *directory,
                               const bitcask_salvage_options *given, bitcask_salvage_result *result,
                               bitcask_error *error)
{
    bitcask_salvage_options options;
    bitcask_salvage_options_init(&options);
    if (directory == NULL || directory[0] == 0)
        return error_set(error, BITCASK_INVALID, "no directory given");
    if (files == NULL && count > 0)
        return api_missing("files", error);
    bitcask_status status =
        api_read_struct(&options, sizeof options, given, "bitcask_salvage_options", error);
    if (status != BITCASK_OK)
        return status;
    bitcask_salvage_result full = {.struct_size = sizeof full};
    status = salvage_run(os_posix(), files, count, directory, &options, &full, error);
    if (result != NULL)
        api_write_struct(result, &full, sizeof full);
    return status;
}
