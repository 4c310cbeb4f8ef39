# SPDX-License-Identifier: MIT
"""header_test.py SOURCE_ROOT: bitcask.h compiles alone, as C and as C++, without a warning."""

import os
import shutil
import subprocess
import sys
import tempfile

# All that a program may do with the header alone, so that its inline functions are compiled too.
PROGRAM = """
#include <bitcask.h>
#include <bitcask.h>
int use(bitcask_options *options);
int use(bitcask_options *options)
{
    bitcask_slice a = bitcask_bytes("ab", 2), b = bitcask_str("ab");
    bitcask_options_init(options);
    return a.size == b.size && options->struct_size == sizeof *options
               ? BITCASK_OK
               : BITCASK_INVALID;
}
"""
C_STANDARDS = ["c99", "c11", "c17", "c2x"]
CXX_STANDARDS = ["c++11", "c++17", "c++20"]
WARNINGS = ["-pedantic-errors", "-Wall", "-Wextra", "-Wundef", "-Wshadow", "-Werror"]
C_ONLY = ["-Wstrict-prototypes", "-Wmissing-prototypes"]
CXX_ONLY = ["-Wold-style-cast"]
SKIPPED = 77


def works(command, source):
    with open(source, "w") as out:
        out.write("int main(void) { return 0; }\n" if source.endswith(".c") else "int main() {}\n")
    return subprocess.run(command + ["-fsyntax-only", source], capture_output=True).returncode == 0


def compile_as(command, standard, extra, include, source):
    with open(source, "w") as out:
        out.write(PROGRAM)
    run = subprocess.run(
        command + [f"-std={standard}", f"-I{include}", "-fsyntax-only"] + WARNINGS + extra +
        [source], capture_output=True, text=True)
    print("ok" if run.returncode == 0 else "FAILED", " ".join(command), standard)
    print(run.stderr, end="")
    return run.returncode == 0


def main():
    include = os.path.join(sys.argv[1], "include")
    good = True
    tried_cxx = False
    with tempfile.TemporaryDirectory() as directory:
        c, cxx = os.path.join(directory, "use.c"), os.path.join(directory, "use.cc")
        for compiler in filter(shutil.which, ["gcc", "clang"]):
            for standard in C_STANDARDS:
                good &= compile_as([compiler], standard, C_ONLY, include, c)
            if works([compiler, "-x", "c++"], cxx):
                tried_cxx = True
                for standard in CXX_STANDARDS:
                    good &= compile_as([compiler, "-x", "c++"], standard, CXX_ONLY, include, cxx)
    if not good:
        return 1
    if not tried_cxx:
        print("no C++ compiler here: only C was tried")
        return SKIPPED
    return 0


sys.exit(main())
