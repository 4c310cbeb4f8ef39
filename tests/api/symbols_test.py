# SPDX-License-Identifier: MIT
"""symbols_test.py SOURCE_ROOT SHARED ARCHIVE: the libraries show what bitcask.h declares and nothing
else, and the shared one needs nothing but the C library."""

import re
import subprocess
import sys

# glibc since 2.34 has threads inside libc; before, they were libpthread.
NEEDED_ALLOWED = re.compile(r"libc\.so\.6|libpthread\.so\.0|ld-linux.*\.so\.\d|libc\.musl-.*")
SONAME = "libbitcask.so.0"
problems = []


def check(condition, message):
    if not condition:
        problems.append(message)


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def declared(source_root):
    with open(f"{source_root}/include/bitcask.h") as header:
        text = header.read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return set(re.findall(r"BITCASK_(?:API|CHECKED)\s[^;{]*?\b(bitcask_\w+)\(", text))


def defined(library, *options):
    names = set()
    for line in output_of("nm", "--defined-only", *options, library).splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] in "TDBRVWGS":
            names.add(fields[2].split("@")[0])
    return names


def main():
    source_root, shared, archive = sys.argv[1:]
    wanted = declared(source_root)
    check(len(wanted) > 30, f"found only {len(wanted)} functions in bitcask.h")
    for library, names in ((shared, defined(shared, "-D")), (archive, defined(archive, "-g"))):
        check(not wanted - names, f"{library} lacks {sorted(wanted - names)}")
        check(not names - wanted, f"{library} shows {sorted(names - wanted)}")

    dynamic = output_of("readelf", "-d", shared)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    soname = re.findall(r"\(SONAME\).*\[(.*)\]", dynamic)
    check(soname == [SONAME], f"soname is {soname}")
    check("libc.so.6" in needed, f"{shared} needs {needed}: that cannot be all")
    for name in needed:
        check(NEEDED_ALLOWED.fullmatch(name), f"{shared} needs {name}")
    check("TEXTREL" not in dynamic, f"{shared} has text relocations")
    stack = re.search(r"GNU_STACK.*\n?.*", output_of("readelf", "-lW", shared))
    check(stack and "RWE" not in stack.group(), f"{shared} wants an executable stack")

    for problem in problems:
        print(problem)
    return 1 if problems else 0


sys.exit(main())
