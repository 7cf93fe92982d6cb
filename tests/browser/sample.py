"""A project as a person has it: two packages, edits of one's own, and new versions that touch the same files."""

from __future__ import annotations

from pathlib import Path

from tests.browser.conftest import apart
from tests.support.project import Project

NUMBERS = "src/dx_packages/greet/greet/numbers.py"
WORDS = "src/dx_packages/greet/greet/words.py"
STYLE = "src/dx_packages/theme/style.css"

NUMBERS_1 = '''"""Numbers as people say them."""

SMALL = ["zero", "one", "two", "three", "four", "five"]


def ordinal(number: int) -> str:
    """First, second, third."""
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{ends.get(number % 10, 'th')}"


def spelled(number: int) -> str:
    """A small number as a word."""
    if number < len(SMALL):
        return SMALL[number]
    return str(number)


def grouped(number: int) -> str:
    """Thousands apart."""
    return f"{number:,}"


def percent(share: float) -> str:
    """A share of one."""
    return f"{share * 100:.0f}%"


def range_of(low: int, high: int) -> str:
    """From low to high."""
    return f"{low}-{high}"


def size(count: int) -> str:
    """A count of bytes."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count} {unit}"
        count //= 1000
    return f"{count} GB"
'''
MINE = ('    return f"{number:,}"\n', '    return f"{number:,}".replace(",", " ")\n')
FIRST = (
    '    ends = {1: "st", 2: "nd", 3: "rd"}\n    return f"{number}{ends.get(number % 10, \'th\')}"\n',
    (
        '    ends = {1: "st", 2: "nd", 3: "rd"}\n    teen = 10 < number % 100 < 14\n'
        "    return f\"{number}{'th' if teen else ends.get(number % 10, 'th')}\"\n"
    ),
)
SECOND = ('    for unit in ("B", "kB", "MB"):\n', '    for unit in ("B", "kB", "MB", "GB"):\n')
THIRD = ('    return f"{count} GB"\n', '    return f"{count} TB"\n')
NUMBERS_2 = NUMBERS_1.replace(*FIRST).replace(*SECOND)
NUMBERS_MINE = NUMBERS_1.replace(*MINE)
"""After these, the file is Yellow with two hunks: `FIRST` and `SECOND`."""

WORDS_1 = '''"""Words to meet people with."""

HELLO = "Hello"
BYE = "Goodbye"


def greeting(name: str) -> str:
    """Meet somebody."""
    return f"{HELLO}, {name}!"
'''
WORDS_2 = WORDS_1.replace('HELLO = "Hello"', 'HELLO = "Good day"')
WORDS_MINE = WORDS_1.replace('HELLO = "Hello"', 'HELLO = "Hi"')
"""After these, the file is Red."""

STYLE_1 = "body {\n  color: black;\n}\n\nh1 {\n  margin: 0;\n}\n\nfooter {\n  color: gray;\n}\n"
STYLE_2 = STYLE_1.replace("gray", "#444")
STYLE_MINE = STYLE_1.replace("black", "navy")

JOIN = """import pathlib, sys
*sources, target = map(pathlib.Path, sys.argv[1:])
print(f"joining {len(sources)} files")
target.parent.mkdir(parents=True, exist_ok=True)
target.write_text("".join(source.read_text() for source in sources))
"""


def make(base: Path) -> Project:
    """The project in ``base/project``, installed and edited; an install brings two Yellow files and a Red one."""
    return apart(_make, base)


def made(base: Path) -> Project:
    """The same, with the new versions installed."""
    project = make(base)
    report = apart(project.install)
    assert len(report.pending) == 3, report.pending
    return project


def _make(base: Path) -> Project:
    project = Project(base, "greet", "theme")
    greet = {"greet/__init__.py": "", "greet/numbers.py": NUMBERS_1, "greet/words.py": WORDS_1}
    project.publish(greet, "greet")
    project.publish({"style.css": STYLE_1}, "theme")
    project.install()
    project.write("greet/numbers.py", NUMBERS_MINE, "greet")
    project.write("greet/words.py", WORDS_MINE, "greet")
    project.write("style.css", STYLE_MINE, "theme")
    project.publish({**greet, "greet/numbers.py": NUMBERS_2, "greet/words.py": WORDS_2}, "greet")
    project.publish({"style.css": STYLE_2}, "theme")
    return project
