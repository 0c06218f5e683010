"""The repository as its own checks see it: files, syntax trees, imports, comments."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]

Node = TypeVar("Node", bound=ast.AST)


@cache
def repository_files() -> list[Path]:
    """Return every file that belongs to the repository, or will with the next commit."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted({Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()})


def python_files(under: str = "") -> list[Path]:
    return [p for p in repository_files() if p.suffix == ".py" and str(p).startswith(under)]


def package_files() -> list[Path]:
    return python_files("stream/")


def layer_of(path: Path) -> str | None:
    """Return the layer of a file under stream/, None for the package itself."""
    name = path.parts[1].removesuffix(".py")
    return None if name == "__init__" else name


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(errors="replace")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text_of(path), filename=str(path))


def nodes(path: Path, kind: type[Node]) -> Iterator[Node]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, kind))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from nodes(path, ast.FunctionDef)
    yield from nodes(path, ast.AsyncFunctionDef)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of all that a file imports: a module, and each name out of it."""
    for plain in nodes(path, ast.Import):
        yield from ((plain.lineno, alias.name) for alias in plain.names)
    for out_of in nodes(path, ast.ImportFrom):
        assert out_of.level == 0, f"{path}:{out_of.lineno} write the import with its whole name"
        assert out_of.module is not None
        if out_of.module != "stream":
            yield out_of.lineno, out_of.module
        yield from ((out_of.lineno, f"{out_of.module}.{alias.name}") for alias in out_of.names)


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for such an expression, with an empty part for what is not a name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def comments(path: Path) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text_of(path)).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def paths_named_in(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, path) of each path in backquotes: a slash in it, no placeholder, no pattern."""
    for number, line in enumerate(text_of(path).splitlines(), 1):
        for quoted in re.findall(r"`([^`\s]+)`", line):
            named = quoted.split("::")[0].rstrip(".,")
            if re.fullmatch(r"[\w.-]+(/[\w.-]*)+", named):
                yield number, named
