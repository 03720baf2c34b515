"""Sections of docs/benchmarks.md: each benchmark owns the text between its two markers."""

from pathlib import Path

PAGE = Path("docs/benchmarks.md")


def write(name, text, path=PAGE):
    """Put `text` between `<!-- name -->` and `<!-- /name -->` in `path`, or at its end; the rest of the file stays."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    page = path.read_text() if path.exists() else "# Benchmarks\n"
    if begin in page:
        before, rest = page.split(begin, 1)
        page = f"{before}{begin}\n{text.strip()}\n{end}{rest.split(end, 1)[1]}"
    else:
        page = f"{page.rstrip()}\n\n{begin}\n{text.strip()}\n{end}\n"
    path.write_text(page)
