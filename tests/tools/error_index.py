#!/usr/bin/env python3
"""Writes docs/errors.md, the index of error ids, from the calls fail(ErrorKind::..., "id", ...) and Error(ErrorKind::..., "id", ...) in
include/. With --check it writes nothing and exits 1 when the page differs from what the code says."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "errors.md"
INCLUDE = ROOT / "include"
CALL = re.compile(r"\b(?:fail|Error)\(\s*ErrorKind::(\w+)\s*,\s*\"([a-z0-9_.]+)\"\s*")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
HEAD = """# Errors

Every error is a `braing3n::Error` with a kind, an id and a path; the id stays when its sentence is improved. `...` stands for values.
Written by `tests/tools/error_index.py` from the code; CI checks that the page is true. Ids that are put together at run time (those of
a table of rules, for example) are not listed.

| id | kind | header | sentence |
|---|---|---|---|
"""


def without_comments(text):
    """The text with line comments blanked; string literals stay."""
    return re.sub(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*', lambda match: match.group(1) or "", text)


def arguments(text, start):
    """The top-level arguments from `start` to the parenthesis that closes the call."""
    parts, depth, begin, at = [], 0, start, start
    while at < len(text):
        literal = STRING.match(text, at)
        if literal:
            at = literal.end()
            continue
        quoted = re.match(r"'(?:[^'\\]|\\.)'", text[at:at + 4])
        if quoted:
            at += quoted.end()
            continue
        letter = text[at]
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            if depth == 0:
                break
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(text[begin:at])
            begin = at + 1
        at += 1
    return [part.strip() for part in [*parts, text[begin:at]] if part.strip()]


def piece(argument):
    """What one argument adds to the sentence: its text when it is only literals, else dots."""
    rest = STRING.sub("", argument).strip()
    literals = "".join(literal[1:-1] for literal in STRING.findall(argument))
    if not rest:
        return literals
    inside = re.fullmatch(r"concat\((.*)\)", argument, re.DOTALL)
    return "".join(piece(part) for part in arguments(inside.group(1), 0)) if inside else "..."


def sentence(parts, is_error):
    # An Error takes one sentence and a path, fail() any number of pieces.
    text = "".join(piece(part) for part in (parts[:1] if is_error else parts))
    text = text.replace('\\"', '"').replace("\\n", " ")
    text = re.sub(r"(?:[.]{3}\s*){2,}", "... ", text)
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


def rows():
    found = set()
    for path in sorted([*INCLUDE.rglob("*.hpp"), *INCLUDE.rglob("*.cuh")]):
        text = without_comments(path.read_text())
        for match in CALL.finditer(text):
            start = match.end()
            if text[start] == ",":
                start += 1
            found.add((match.group(2), match.group(1), str(path.relative_to(INCLUDE / "braing3n")),
                       sentence(arguments(text, start), match.group(0).startswith("Error"))))
    return sorted(found)


page = HEAD + "".join(f"| `{name}` | {kind} | `{header}` | {text} |\n" for name, kind, header, text in rows())
if sys.argv[1:] == ["--check"]:
    if not PAGE.is_file() or PAGE.read_text() != page:
        print("error_index: docs/errors.md is not what the code says; python3 tests/tools/error_index.py writes it")
        sys.exit(1)
    print("error_index: docs/errors.md is true")
else:
    PAGE.write_text(page)
    print(f"error_index: {page.count(chr(10)) - HEAD.count(chr(10))} sentences, {len({row[0] for row in rows()})} ids")
