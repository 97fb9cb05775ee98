"""What the packages' faces name is there to be imported, and the pages name these faces."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STABLE = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8").partition("## Numbers")[0]
FACES = re.findall(r"`(sfl_\w+(?:\.\w+)*)`", STABLE.partition(", with their")[0])
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BESIDE_FACES = {"sfl_env.errors", "sfl_env.dnn.networks"}


def test_the_page_on_stability_names_the_faces() -> None:
    assert {"sfl_env", "sfl_env.learning", "sfl_baselines", "sfl_agents", "sfl_lab"} <= set(FACES)


@pytest.mark.parametrize("face", FACES)
def test_what_a_face_names_is_there(face: str) -> None:
    module = importlib.import_module(face)
    assert list(module.__all__) == sorted(module.__all__)
    assert not [name for name in module.__all__ if not hasattr(module, name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_import_from_faces(page: Path) -> None:
    for module, names in re.findall(
        r"^from (sfl_\S+) import (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE
    ):
        assert module in {*FACES, *BESIDE_FACES}
        found = importlib.import_module(module)
        assert not [name for name in names.split(", ") if not hasattr(found, name)]


@pytest.mark.parametrize("face", ["sfl_agents", "sfl_lab"])
def test_importing_a_face_is_cheap(face: str) -> None:
    script = f"import sys, {face}; assert not {{'torch', 'numpy', 'stable_baselines3'}} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-c", script], check=True)
