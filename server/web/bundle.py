#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bundle.py OUTPUT.c: bundle the dashboard, and write its files as C arrays.

The scripts and styles in src/ and what they need of npm (package-lock.json) become one file each by
esbuild. What npm fetches is kept in node_modules beside this file, for all build directories. Where
there is no Node.js, or npm cannot fetch anything, the page says so, and everything else of the
server works: a build never fails for it."""

import fcntl
import hashlib
import html
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ASSETS = {  # name in C: (file, Content-Type)
    "web_page": ("index.html", "text/html; charset=utf-8"),
    "web_script": ("app.js", "text/javascript; charset=utf-8"),
    "web_style": ("app.css", "text/css; charset=utf-8"),
    "web_icon": ("icon.svg", "image/svg+xml"),
    "web_openapi": ("openapi.json", "application/json"),
}


class Unavailable(Exception):
    """Why there is no bundle."""


def run(command, what):
    try:
        subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True, timeout=300)
    except subprocess.CalledProcessError as error:
        lines = [line for line in (error.stderr or error.stdout or "").splitlines() if "error" in line]
        raise Unavailable(f"{what} failed: {lines[0] if lines else error.returncode}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{what} failed: {error}") from error


def fetch_modules(npm):
    """What package-lock.json names, in node_modules; once, whoever builds at the same time."""
    lock = (HERE / "package-lock.json").read_bytes()
    wanted = hashlib.sha256(lock).hexdigest()
    stamp = HERE / "node_modules" / ".fetched"
    with open(HERE / "package-lock.json", "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        if npm is None:
            raise Unavailable("npm was not found")
        run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], "npm ci")
        stamp.write_text(wanted)


def bundle(directory):
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        raise Unavailable("Node.js was not found")
    fetch_modules(shutil.which("npm"))
    run([node, "node_modules/esbuild/bin/esbuild", "src/app.js", "src/app.css", "--bundle",
         "--minify", "--charset=utf8", "--target=es2020,chrome90,firefox90,safari14.1",
         "--legal-comments=inline", "--log-level=error", f"--outdir={directory}"], "esbuild")


def without_bundle(directory, why):
    page = (HERE / "missing.html").read_text()
    (directory / "index.html").write_text(page.replace("{{why}}", html.escape(why)))
    (directory / "app.js").write_text("")
    (directory / "app.css").write_text("")


def write_c(directory, output):
    with open(output, "w") as out:
        out.write('/* Made by bundle.py. */\n#include "web_assets.h"\n')
        for name, (file, content_type) in ASSETS.items():
            data = (directory / file).read_bytes()
            tag = hashlib.sha256(data).hexdigest()[:16]
            out.write(f"\nstatic const unsigned char {name}_bytes[] = {{\n")
            for i in range(0, len(data), 24):
                out.write(",".join(str(byte) for byte in data[i:i + 24]) + ",\n")
            out.write("0};\n" f'const struct web_asset {name} = {{"{content_type}", "\\"{tag}\\"",'
                      f" {name}_bytes, {len(data)}}};\n")


def main():
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(temporary)
        for file in ("index.html", "icon.svg", "openapi.json"):
            shutil.copy(HERE / file, directory / file)
        try:
            bundle(directory)
        except Unavailable as why:
            print(f"dashboard: {why}: built without it (install nodejs and npm, then build again)",
                  file=sys.stderr)
            without_bundle(directory, str(why))
        write_c(directory, sys.argv[1])
    return 0


sys.exit(main())
