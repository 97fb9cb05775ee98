"""Where things lie, and how long they may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ("sfl_env", "baselines/sfl_baselines", "agents/sfl_agents", "lab/sfl_lab", "speed", "docs/build")
LONGEST_BODY, LONGEST_MODULE = 40, 350

AT_THE_ROOT = {"env", "vector_env", "presets", "errors", "arrays", "__init__"}
"""Modules of sfl_env that lie in no package of it."""


def modules() -> list[Path]:
    return sorted(path for folder in LIBRARY for path in (ROOT / folder).rglob("*.py"))


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_a_docstring_counts_for_nothing_and_a_body_from_its_first_line() -> None:
    (function,) = functions(ast.parse('def f():\n    """Says.\n\n    More.\n    """\n    a = 1\n\n    return a\n'))
    assert body_lines(function) == 3
    (function,) = functions(ast.parse('def f():\n    """Says."""\n'))
    assert body_lines(function) == 0


def test_the_root_of_the_environment_has_a_few_doors() -> None:
    assert {path.stem for path in (ROOT / "sfl_env").glob("*.py")} == AT_THE_ROOT


@pytest.mark.parametrize("path", modules(), ids=names(modules()))
def test_no_module_and_no_function_is_too_long(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lengths = {f"{f.name}, line {f.lineno}": body_lines(f) for f in functions(ast.parse(text))}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_BODY} == {}
    assert len(text.splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("package", ["sfl_env", "baselines/sfl_baselines", "agents/sfl_agents", "lab/sfl_lab"])
def test_tests_mirror_the_packages(package: str) -> None:
    """Every folder of tests is that of a package."""
    there = ROOT / package
    for folder in (ROOT / "tests" / there.name).rglob("*/"):
        if folder.name != "__pycache__":
            mirrored = there / folder.relative_to(ROOT / "tests" / there.name)
            assert mirrored.is_dir(), f"{folder.relative_to(ROOT)} mirrors no folder {mirrored.relative_to(ROOT)}"
