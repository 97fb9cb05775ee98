"""``sfl profile`` as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sfl_env.dnn import catalogue
from sfl_env.dnn.profile import DNNProfile
from sfl_lab.cli import COMMANDS, main

OWN = """
from torch import nn

class MyNet(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3600, 10))

class Needy(nn.Module):
    def __init__(self, width, depth=2):
        super().__init__()

def make():
    return MyNet()

def fails():
    raise RuntimeError("no weights here\\nand more")

def makes_a_number():
    return 3

class Holder:
    inner = MyNet()

made = MyNet()
number = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a package's module in the current directory, a new name for each test."""
    name = f"own_{abs(hash(tmp_path))}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "nets.py").write_text(OWN)
    (tmp_path / name / "broken.py").write_text("import torch\nclass :\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def words(text: str) -> str:
    return " ".join(text.split())


def test_table_of_a_catalogue_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "resnet18"]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "stage2_block1" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == ["4", "stage2_block1", "422.969", "842.400", "687.876", "1,375.752", "131.072", "379,968"]
    assert "FLOPs = 2 x MAC" in words(out)
    assert "11,173,962 parameters" in words(out)


def test_catalogue_network_at_another_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "digits-cnn", "--input-shape", "1,8,8"]) == 0
    assert main(["profile", "vgg11", "--input-shape", "3,33,33"]) == 0
    assert "input 3x33x33" in capsys.readouterr().out


@pytest.mark.parametrize("attribute", ["MyNet", "make", "made", "Holder.inner"])
def test_network_of_the_user(own: str, attribute: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = f"{own}.nets:{attribute}"
    assert main(["profile", target, "--input-shape", "3,32,32", "--out", "mine.json"]) == 0
    assert "36,122 parameters" in words(capsys.readouterr().out)
    written = DNNProfile.from_json("mine.json")
    assert written.name == attribute
    assert written.cut_names == ("2", "3")
    assert main(["profile", "./mine.json"]) == 0


def test_written_catalogue_profile_is_the_stored_one(tmp_path: Path) -> None:
    out = tmp_path / "lenet.json"
    assert main(["profile", "lenet5", "--out", str(out)]) == 0
    assert DNNProfile.from_json(out) == catalogue.load("lenet5")


def test_existing_file_is_kept_unless_told_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lenet.json"
    out.write_text("precious")
    assert main(["profile", "lenet5", "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert main(["profile", "lenet5", "--out", str(out), "--overwrite"]) == 0
    assert json.loads(out.read_text())["name"] == "lenet5"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet81"], "did you mean 'resnet18'"),
        (["none.json"], "none.json cannot be read"),
        (["lenet5", "--input-shape", "1,28"], "does not take"),
        (["lenet5", "--input-shape", "1;28;28"], "--input-shape is '1;28;28'"),
        (["lenet5", "--input-shape", "1,0,28"], "--input-shape is '1,0,28'"),
        (["lenet5", "--out", "no/such/folder.json"], "cannot be written"),
        (["OWN.nets:MyNet"], "needs --input-shape"),
        (["OWN.nets:MyNet", "--input-shape", "3,8,8"], "does not take"),
        (["OWN.nets:MyNte", "--input-shape", "3,32,32"], "did you mean 'MyNet'"),
        (["OWN.nets:", "--input-shape", "3,32,32"], "OWN.nets has no ''"),
        (["OWN.nots:MyNet", "--input-shape", "3,32,32"], "No module named 'OWN.nots'"),
        ([":MyNet", "--input-shape", "3,32,32"], "cannot be imported"),
        (["OWN.broken:MyNet", "--input-shape", "3,32,32"], "SyntaxError"),
        (["OWN.nets:Needy", "--input-shape", "3,32,32"], "needs arguments (width)"),
        (["OWN.nets:fails", "--input-shape", "3,32,32"], "fails() failed (RuntimeError: no weights here)"),
        (["OWN.nets:makes_a_number", "--input-shape", "3,32,32"], "makes a int"),
        (["OWN.nets:number", "--input-shape", "3,32,32"], "is a int"),
    ],
)
def test_mistake_is_told_in_one_line(
    own: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", *(argument.replace("OWN", own) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sfl: error: ")
    assert error.count("\n") == 1
    assert message.replace("OWN", own) in error


def test_unknown_command_or_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["profit"], [], ["profile"], ["profile", "lenet5", "--inputs", "3"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_help_names_every_command_and_imports_no_torch() -> None:
    code = (
        "import sys; from sfl_lab.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'matplotlib', 'stable_baselines3', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(slow) if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout
