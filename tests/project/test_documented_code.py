"""The Python that the pages show runs as it stands there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


WHOLE = [
    pytest.param(page, block, id=f"{page}-{number}")
    for page in ("docs/your-network.md", "docs/accuracy.md", "docs/extending.md")
    for number, block in enumerate(blocks(page), start=1)
]

TIERS = sorted(
    f"docs/tiers/{page.name}" for page in (ROOT / "docs" / "tiers").glob("*.md") if page.stem != "agents"
)


@pytest.mark.parametrize("page", [*TIERS, "docs/agents.md"])
def test_pages_on_tiers_and_agents_show_code_that_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where the code may write
    assert blocks(page)
    exec(compile("\n".join(blocks(page)), page, "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize(("page", "block"), WHOLE)
def test_a_block_of_a_page_runs_by_itself(page: str, block: str) -> None:
    exec(compile(block, page, "exec"), {})


@pytest.mark.parametrize("page", ["README.md", "docs/your-network.md", "docs/accuracy.md", "docs/extending.md"])
def test_the_code_on_the_page_runs_block_after_block(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert blocks(page)
    exec(compile("\n".join(blocks(page)), page, "exec"), {})
    assert capsys.readouterr().out


def test_the_page_on_your_network_shows_what_its_code_prints(capsys: pytest.CaptureFixture[str]) -> None:
    page = " ".join((ROOT / "docs/your-network.md").read_text(encoding="utf-8").split())
    cuts, execution = (text for text in re.findall(r"prints `(.*?)`[:.;, ]", page))
    for block, printed in zip(blocks("docs/your-network.md"), (cuts, execution), strict=True):
        exec(compile(block, "docs/your-network.md", "exec"), {})
        shown = capsys.readouterr().out.strip()
        assert re.fullmatch(re.escape(printed).replace(r"\.\.\.", ".*"), shown)
