# SPDX-License-Identifier: MIT
"""commands_doc_test SOURCE_ROOT: docs/COMMANDS.md names every command that there is, with its
subcommands, and none that there is not."""

import pathlib
import re
import sys


def rows(text):
    return re.findall(r'\bROW\("([^"]+)"', text)


def main(root):
    server = pathlib.Path(root) / "server"
    known = set(rows((server / "commands.def").read_text()) +
                rows((server / "commands_sub.def").read_text()))
    containers = {name.split("|")[0] for name in known if "|" in name}
    named = set()
    for line in (pathlib.Path(root) / "docs" / "COMMANDS.md").read_text().splitlines():
        if not line.startswith("| ") or line.startswith(("| Command", "| ---")):
            continue
        for part in re.split(r"; ", line.split("|")[1]):
            container = None
            for item in part.split(","):
                words = re.findall(r"(?<![a-z])[A-Z][A-Z.-]+(?![a-z])", item)
                if len(words) > 1 and words[0].lower() in containers:
                    container = words.pop(0).lower()
                    named.add(container)
                for word in words[:1]:
                    name = word.lower()
                    named.add(f"{container}|{name}" if container else name)
                    if container is None and name in containers:
                        container = name
    problems = [f"docs/COMMANDS.md does not name {name}" for name in sorted(known - named)] + \
               [f"docs/COMMANDS.md names {name}, which there is not" for name in sorted(named - known)]
    print("\n".join(problems) or f"{len(known)} commands")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
