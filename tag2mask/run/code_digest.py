"""A digest of the code that a stage runs: syntax trees without docstrings, of every project module it imports."""

import ast
import functools
import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("stages", "tag2mask")


@functools.cache
def code_digest(stage: str) -> str:
    """Hex digest over `stages.<stage>` and all modules of this project that it reaches by imports.

    Comments, docstrings and layout don't count; anything that can change a result does, a template in a package too.
    """
    return module_digest(f"stages.{stage}")


def module_digest(start: str) -> str:
    """The same of a module or package and what it reaches."""
    total = hashlib.sha256()
    for name, file in sorted(reached(start).items()):
        total.update(f"{name}\n{tree(file)}\n".encode())
        for other in sorted(file.parent.glob("*.jinja")) if file.name == "__init__.py" else template_of(file):
            total.update(f"{other.name}\n".encode() + other.read_bytes())
    return total.hexdigest()[:16]


def template_of(file: Path) -> list[Path]:
    """[the template beside a module that has one of its name]."""
    template = file.with_suffix(".html.jinja")
    return [template] if template.is_file() else []


def reached(start: str) -> dict[str, Path]:
    """name -> file of the project's modules that `start` (a package: with all its files) imports, directly or not."""
    first = module_file(start)
    # what a stage says of itself decides no result by itself; a command or a look is no part of what the pipeline runs
    others = first.parent.glob("*.py") if first and first.name == "__init__.py" else ()
    inner = [path.stem for path in others if path.stem not in ("__init__", "stage", "command", "look")]
    todo = [start, *(f"{start}.{name}" for name in inner)]
    found: dict[str, Path] = {}
    while todo:
        name = todo.pop()
        file = module_file(name)
        if name in found or file is None:
            continue
        found[name] = file
        todo.extend(imported(file))
    return found


def module_file(name: str) -> Path | None:
    """The file of a module or package of this project, or None."""
    path = ROOT / name.replace(".", "/")
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


@functools.cache
def imported(file: Path) -> tuple[str, ...]:
    """Names of this project that the file imports; `from a import b` gives both a and a.b."""
    names = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = file.relative_to(ROOT).with_suffix("").parts
                base = ".".join((*parts[: len(parts) - node.level], *filter(None, [node.module])))
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.split(".")[0] in PACKAGES)


@functools.cache
def tree(file: Path) -> str:
    """The syntax tree of a file as text, without docstrings and positions."""
    root = ast.parse(file.read_bytes())
    for node in ast.walk(root):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(root)
