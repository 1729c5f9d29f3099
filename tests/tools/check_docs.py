#!/usr/bin/env python3
"""The code in docs/*.md is the code that the tests compile and run.

A fenced block that begins with ```cpp file=tests/docs/test_x.cpp region=NAME must equal the lines between the two lines
`// [NAME]` of that file, less their common indentation. Without region= it must equal the whole file.
Prints every difference; exit 1 when there is one. With --write the blocks are written anew instead.
"""
import difflib
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```cpp +file=(\S+)(?: +region=(\S+))? *$")


def quoted(file, region):
    """The lines that a block has to show; a string with the reason when there are none."""
    path = ROOT / file
    if not path.is_file():
        return f"{file} does not exist"
    lines = path.read_text().splitlines()
    if region is None:
        return lines
    marks = [i for i, line in enumerate(lines) if line.strip() == f"// [{region}]"]
    if len(marks) != 2:
        return f"{file} has {len(marks)} lines '// [{region}]', expected 2"
    return textwrap.dedent("\n".join(lines[marks[0] + 1:marks[1]])).strip("\n").splitlines()


def rewritten(page, findings):
    """The text of the page with every quoted block as it should be."""
    result, lines, i = [], page.read_text().splitlines(), 0
    while i < len(lines):
        match = FENCE.match(lines[i])
        result.append(lines[i])
        i += 1
        if not match:
            continue
        end = next((j for j in range(i, len(lines)) if lines[j].rstrip() == "```"), None)
        where = f"{page.relative_to(ROOT)}:{i}"
        if end is None:
            findings.append(f"{where}: the block has no end")
            continue
        wanted = quoted(*match.groups())
        if isinstance(wanted, str):
            findings.append(f"{where}: {wanted}")
            wanted = lines[i:end]
        elif wanted != lines[i:end]:
            difference = "\n".join(difflib.unified_diff(lines[i:end], wanted, "page", match.group(1), lineterm="", n=1))
            findings.append(f"{where}: differs from {match.group(1)}\n{difference}")
        result += wanted
        i = end
    return "\n".join(result) + "\n"


def main():
    write = sys.argv[1:] == ["--write"]
    findings, blocks = [], 0
    for page in sorted((ROOT / "docs").glob("*.md")) + [ROOT / "README.md"]:
        if not page.is_file():
            continue
        before = len(findings)
        text = rewritten(page, findings)
        blocks += sum(1 for line in page.read_text().splitlines() if FENCE.match(line))
        if write and text != page.read_text():
            page.write_text(text)
            findings[before:] = [f for f in findings[before:] if "differs from" not in f]
    for finding in findings:
        print(finding)
    if blocks == 0:
        print("no page quotes any code: nothing was checked")
        return 1
    if not findings:
        print(f"{blocks} quoted blocks equal the tested code")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
