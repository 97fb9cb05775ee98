"""Libraries speak of arguments; switches are words of the command line alone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LIBRARIES = ("sfl_env", "baselines/sfl_baselines", "agents/sfl_agents", "lab/sfl_lab/compare")
SWITCH = re.compile(r"(?<![\w-])--[a-z]")


def said(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of a module's strings that are no documentation."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_message_of_a_library_names_a_switch(library: str) -> None:
    modules = sorted((ROOT / library).rglob("*.py"))
    assert modules
    found = [
        f"{path.relative_to(ROOT)}:{line} {text!r}"
        for path in modules
        for line, text in said(ast.parse(path.read_text(encoding="utf-8")))
        if SWITCH.search(text)
    ]
    assert not found
