# SPDX-License-Identifier: MIT
"""mdoc.py: text as mdoc(7) source."""

import itertools
import re


def escape(text):
    """In the middle of a line."""
    return "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in text.replace("\\", "\\e"))


def line(text):
    """As a line of its own, which is no macro whatever it begins with."""
    return ("\\&" if text[:1] in (".", "'") else "") + escape(text)


def argument(text):
    """As one argument of a macro, which is no macro itself."""
    text = escape(text).replace('"', '""')
    return f'"{text}"' if " " in text or '"' in text else "\\&" + text


def literal(lines):
    return [".Bd -literal -offset indent"] + [line(text) for text in lines] + [".Ed"]


def is_laid_out(text):
    """Is the line part of a table or an example, to be shown as it stands?"""
    return text.startswith("  ") or re.search(r"\S {2,}\S", text) is not None


def sentences(text):
    """A line each, as mdoc wants it."""
    return [line(part) for part in re.split(r"(?<=[.!?]) (?=\S)", text)]


def paragraphs(lines):
    """Lines of text, a blank one between paragraphs; what is laid out by hand stays as it is."""
    out = []
    for is_block, group in itertools.groupby(lines, lambda text: bool(text) and is_laid_out(text)):
        group = list(group)
        if is_block:
            least = min(len(text) - len(text.lstrip()) for text in group)
            out += literal(text[least:] for text in group)
            continue
        for has_text, part in itertools.groupby(group, bool):
            if has_text:
                out += [".Pp"] if out else []
                out += sentences(" ".join(part))
    return out


def page(name, section, date, description, body):
    return "\n".join([
        '.\\" SPDX-License-Identifier: MIT', '.\\" Made by the build: edit its source, not this.',
        f".Dd {date}", f".Dt {name.upper()} {section}", ".Os", *description, *body]) + "\n"
