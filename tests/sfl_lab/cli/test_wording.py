"""Libraries speak of arguments; switches are words of the command line alone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LIBRARIES = ("sfl_env", "baselines/sfl_baselines", "agents/sfl_agents", "lab/sfl_lab/compare")
SWITCH = re.compile(r"(?<![\w-])--[a-z]")


def said(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the texts of a module that are no documentation."""
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_message_of_a_library_names_a_switch(library: str) -> None:
    modules = sorted((ROOT / library).rglob("*.py"))
    assert modules
    found = [
        f"{path.relative_to(ROOT)}:{text.lineno} {text.value!r}"
        for path in modules
        for text in said(ast.parse(path.read_text(encoding="utf-8")))
        if SWITCH.search(text.value)
    ]
    assert not found
