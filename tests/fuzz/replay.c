/* SPDX-License-Identifier: MIT
 * replay.c: run a fuzz target over files and directories of inputs: the corpus, in the normal test
 * run, or one input that failed. Fails if there was no input at all. */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"

enum { INPUT_MAX = 1 << 20 };

static size_t inputs;

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_MAX);
    REQUIRE(file != NULL && data != NULL);
    size_t size = fread(data, 1, INPUT_MAX, file);
    fclose(file);
    uint8_t *exact = fuzz_copy(data, size);
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    inputs++;
}

static void replay(const char *path)
{
    struct stat found;
    REQUIRE(stat(path, &found) == 0);
    if (!S_ISDIR(found.st_mode)) {
        replay_file(path);
        return;
    }
    DIR *directory = opendir(path);
    REQUIRE(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        replay(name);
    }
    closedir(directory);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%zu inputs\n", inputs);
    return inputs > 0 ? 0 : 1;
}
