# SPDX-License-Identifier: MIT
"""tables.py: what `bitcask --json help` says, as objects: the one source of the manual page bitcask(1)
and of the completions."""

import json
import re
import subprocess
from dataclasses import dataclass, field


@dataclass
class Option:
    name: str
    letter: str
    kind: str  # flag, switch (--NAME and --no-NAME), or what its value is
    value: str  # what the help calls the value; "" for flags and switches
    help: str

    def takes_value(self):
        return self.kind not in ("flag", "switch")

    def words(self):
        """As they are typed: --all, -a."""
        words = ["--" + self.name]
        if self.kind == "switch":
            words.append("--no-" + self.name)
        if self.letter:
            words.append("-" + self.letter)
        return words

    def completes(self):
        """What its value is made of: words to choose from, or one of the CLASSES; [] for neither."""
        if re.fullmatch(r"[a-z]+(\|[a-z]+)+", self.value):
            return self.value.split("|")
        listed = re.match(r"[a-z]+(?:, [a-z]+)* or [a-z]+(?= \(|$)", self.help)
        if self.name == "format" and listed:  # "jsonl, tsv or files (default: ...)"
            return re.split(", | or ", listed.group())
        if self.name == "prefix":
            return ["KEY"]
        return [CLASSES[self.value]] if self.value in CLASSES else []


# What a word of a usage or a value stands for.
CLASSES = {"KEY": "KEY", "FILE": "FILE", "SOURCE": "FILE", "FILE|DIR": "FILE", "DIR": "DIRECTORY",
           "DIRECTORY": "DIRECTORY", "COMMAND": "COMMAND"}


@dataclass
class Command:
    name: str
    alias: str
    usage: str
    summary: str
    details: str
    examples: list
    options: list = field(default_factory=list)

    def names(self):
        return [self.name] + ([self.alias] if self.alias else [])

    def operands(self):
        """The class of each operand that can be completed, and whether the last may be repeated."""
        usage = re.sub(r"\[?-\w FILE \| DIR\]|--?[a-z]\S* [A-Z]+|\([^)]*\)", "", self.usage)
        words = re.findall(r"[A-Z]+(?:\.\.\.)?", usage)
        repeats = bool(words) and words[-1].endswith("...")
        return [CLASSES.get(word.rstrip("."), "") for word in words], repeats


@dataclass
class Tables:
    commands: list
    all_options: list
    store_options: list
    exits: dict
    variables: dict


def read(bitcask):
    run = subprocess.run([bitcask, "--json", "help"], check=True, capture_output=True, text=True)
    tables = Tables([], [], [], {}, {})
    homes = {"all": tables.all_options, "store": tables.store_options}
    for line in run.stdout.splitlines():
        row = json.loads(line)
        if "command" in row:
            command = Command(row["command"], row.get("alias", ""), row["usage"], row["summary"],
                              row["details"], row["examples"].splitlines())
            tables.commands.append(command)
            homes[command.name] = command.options
        elif "option" in row:
            homes[row["of"]].append(Option(*(row[k] for k in
                                             ("option", "letter", "kind", "value", "help"))))
        elif "exit" in row:
            tables.exits[row["exit"]] = row["help"]
        else:
            tables.variables[row["variable"]] = row["help"]
    return tables
