# SPDX-License-Identifier: MIT
"""install_test.py BUILD: install below a DESTDIR; a program built with what pkg-config says works,
with the shared library and with the static one."""

import os
import subprocess
import sys
import tempfile

PROGRAM = r"""
#include <bitcask.h>
#include <stdio.h>

int main(void)
{
    bitcask_options options;
    bitcask_options_init(&options);
    options.in_memory = 1;
    bitcask *db;
    bitcask_error error;
    bitcask_buffer value = {0};
    if (bitcask_open("installed", &options, &db, &error) != BITCASK_OK ||
        bitcask_put(db, bitcask_str("city"), bitcask_str("Utrecht"), NULL, NULL, &error) !=
            BITCASK_OK ||
        bitcask_get(db, NULL, bitcask_str("city"), &value, NULL, &error) != BITCASK_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    printf("%.*s %s\n", (int)value.size, (char *)value.data, bitcask_version());
    bitcask_buffer_free(&value);
    return bitcask_close(db, &error) != BITCASK_OK;
}
"""


def output_of(command, **more):
    run = subprocess.run(command, capture_output=True, text=True, **more)
    assert run.returncode == 0, f"{command}: {run.stdout}{run.stderr}"
    return run.stdout


def find(root, name):
    found = [os.path.join(d, name) for d, _, files in os.walk(root) if name in files]
    assert len(found) == 1, f"{name} was installed {len(found)} times"
    return found[0]


def main():
    build = sys.argv[1]
    with tempfile.TemporaryDirectory() as root:
        output_of(["meson", "install", "-C", build, "--no-rebuild", "--destdir", root])
        library = find(root, "libbitcask.so.0.1.0")
        for name in ("libbitcask.so", "libbitcask.so.0"):
            assert os.path.samefile(os.path.join(os.path.dirname(library), name), library), name
        archive = find(root, "libbitcask.a")
        find(root, "bitcask.h")
        package = os.path.dirname(find(root, "bitcask.pc"))
        environment = dict(os.environ, PKG_CONFIG_PATH=package, PKG_CONFIG_SYSROOT_DIR=root)

        def flags(*options):
            return output_of(["pkg-config", *options, "bitcask"], env=environment).split()

        version = flags("--modversion")[0]
        source, program = os.path.join(root, "program.c"), os.path.join(root, "program")
        with open(source, "w") as out:
            out.write(PROGRAM)
        ways = {
            "shared": flags("--cflags", "--libs"),
            "static": flags("--cflags") + [archive] + [
                flag for flag in flags("--libs", "--static") if flag == "-pthread"],
        }
        for way, words in ways.items():
            output_of(["cc", "-std=c99", "-Wall", "-Werror", source, "-o", program] + words)
            environment["LD_LIBRARY_PATH"] = os.path.dirname(library) if way == "shared" else ""
            said = output_of([program], env=environment)
            assert said == f"Utrecht {version}\n", f"{way}: {said}"
            print("ok", way)
        pages = find(root, "bitcask.1"), find(root, "bitcask.3"), find(root, "bitcask_put.3")
        assert all("man/man" in page for page in pages), pages
        assert "zsh/site-functions" in find(root, "_bitcask")
        # The command, and the completion of bash, which must be called as the command is.
        named = [os.path.join(d, "bitcask") for d, _, files in os.walk(root) if "bitcask" in files]
        completion, command = sorted(named, key=lambda path: "/bin/" in path)
        assert completion.endswith("share/bash-completion/completions/bitcask"), completion
        assert version in output_of([command, "--version"]), "bitcask --version"


main()
