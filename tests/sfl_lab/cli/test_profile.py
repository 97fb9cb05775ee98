"""``sfl profile`` as a user meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sfl_env.dnn import catalogue
from sfl_env.dnn.profile import DNNProfile
from sfl_lab.cli import COMMANDS, main
from tests.sfl_env.profiles import odd

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

def ends_the_process():
    import sys
    print("I am done")
    sys.exit(0)

class Odd(BaseException):
    def __str__(self):
        raise ValueError("no words")

def raises_what_is_no_exception():
    raise Odd

def shouts():
    print("x" * 3_000_000)
    return MyNet()

def goes_away():
    import os, sys, tempfile
    os.chdir(tempfile.mkdtemp())
    sys.argv[:] = []
    return MyNet()

class EndsInForward(nn.Sequential):
    def __init__(self, when=lambda x: True):
        super().__init__(nn.Linear(30, 4), Ender(when), nn.Linear(4, 2))

class Ender(nn.Module):
    def __init__(self, when):
        super().__init__()
        self.when = when
    def forward(self, x):
        if self.when(x):
            raise SystemExit(0)
        return x

def ends_at_many():
    return EndsInForward(lambda x: len(x) > 2)

def __getattr__(name):
    if name == "lazy":
        raise SystemExit(0)
    raise AttributeError(name)

def makes_a_number():
    return 3

class Particular(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(30, 4), nn.Linear(4, 2))
    def forward(self, x):
        if str(x.dtype) != "torch.int32":
            raise TypeError("expected scalar type Int")
        return super().forward(x.float())

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
    (tmp_path / name / "ends.py").write_text("raise SystemExit(0)")
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


def test_what_only_some_networks_have_is_told_of_those_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd().to_json(tmp_path / "odd.json")
    assert main(["profile", str(tmp_path / "odd.json")]) == 0
    told = words(capsys.readouterr().out)
    for note in (
        "A mini-batch costs the whole network 25,000.000 MFLOP forward and 50,000.000 backward on top, whatever "
        "its size.",
        "50,100 of the parameters are frozen: they do not train.",
        "Training leaves 310 of 450 buffers as they are.",
        "No gradient comes back at cut 1, where the device side trains nothing.",
    ):
        assert note in told
    assert main(["profile", "lenet5"]) == 0
    told = words(capsys.readouterr().out)
    assert told.endswith("Each cut is named after the last block on the device.")


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


@pytest.mark.parametrize("start", ["", "./", "HERE/"])
def test_network_in_a_file(own: str, start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / own / "beside.py").write_text("classes = 10")
    (tmp_path / own / "my-net.py").write_text(
        f"from __future__ import annotations\n{OWN}\nimport dataclasses\nimport beside\n\n"
        "@dataclasses.dataclass\nclass Settings:\n    depth: int = beside.classes\n"
    )
    path = f"{start.replace('HERE', str(tmp_path))}{own}/my-net.py"
    before = list(sys.path)
    assert main(["profile", f"{path}:MyNet", "--input-shape", "3,32,32"]) == 0
    assert "36,122 parameters" in words(capsys.readouterr().out)
    assert sys.path == before
    assert main(["profile", f"{path}:MyNte", "--input-shape", "3,32,32"]) == 2
    assert "did you mean 'MyNet'" in capsys.readouterr().err


def test_the_type_of_the_input_can_be_named(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = f"{own}.nets:Particular"
    assert main(["profile", target, "--input-shape", "30", "--input-dtype", "int32"]) == 0
    assert "134 parameters" in words(capsys.readouterr().out)
    assert main(["profile", target, "--input-shape", "30"]) == 2
    assert "name it as --input-dtype" in capsys.readouterr().err
    assert main(["profile", target, "--input-shape", "30", "--input-dtype", "uint8"]) == 2
    assert "does not take a torch.uint8 input" in capsys.readouterr().err


def test_small_costs_keep_three_digits_and_nothing_is_a_plain_0(
    own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(own) / "small.py").write_text(
        "from torch import nn\nnet = nn.Sequential(nn.Linear(30, 401), nn.Linear(401, 1))\n"
    )
    assert main(["profile", f"{own}.small:net", "--input-shape", "30"]) == 0
    first, last = (
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("│")
    )
    assert first == ["1", "0", "0.0241", "0.0241", "0.000802", "0.0016", "1.604", "12,431"]
    assert last == ["2", "1", "0.0249", "0.0257", "0", "0", "0", "12,833"]


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
        (["OWN.nets.MyNet"], "MODULE:NAME or FILE.py:NAME for a network of your own"),
        (["OWN/nots.py:MyNet", "--input-shape", "3,32,32"], "No such file"),
        (["OWN/broken.py:MyNet", "--input-shape", "3,32,32"], "SyntaxError"),
        (["OWN.nets:MyNet", "--input-shape", "3,32,32", "--input-dtype", "long"], "it has to be one of float32, "),
        (["lenet5", "--input-dtype", "int64"], "--input-dtype is for networks of your own"),
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
        (["lenet5", "--input-shape", "1," + "9" * 20], "--input-shape is"),
        (["lenet5", "--input-shape", "9" * 5000], "--input-shape is"),
        (["lenet5", "--input-shape", "1,-28,28"], "--input-shape is"),
        (["lenet5", "--input-shape", "1,9999999,9999999"], "at most"),
        (["lenet5", "--input-shape", ",".join("1" * 5000)], "--input-shape is"),
        (["lenet5", "--input-shape", "1,\x1b[2J"], "--input-shape is"),
        (["."], "Unknown network"),
        (["x" * 10_000 + ".json"], "cannot be read"),
        (["[red]\x1b[2J\u202e"], "Unknown network"),
        (["OWN.ends:MyNet", "--input-shape", "3,32,32"], "cannot be imported"),
        (["OWN.nets:ends_the_process", "--input-shape", "3,32,32"], "ends_the_process() failed (SystemExit: 0)"),
        (["OWN.nets:raises_what_is_no_exception", "--input-shape", "3,32,32"], "failed (Odd)"),
        (["OWN.nets:EndsInForward", "--input-shape", "30"], "SystemExit"),
        (["OWN.nets:ends_at_many", "--input-shape", "30"], "(SystemExit: 0)"),
        (["OWN.nets:lazy", "--input-shape", "30"], "does not give 'lazy' (SystemExit: 0)"),
        (["builtins:dict", "--input-shape", "3"], "makes a dict"),
        (["builtins:int.__add__", "--input-shape", "3"], "int.__add__"),
        (["OWN.nets:number", "--input-shape", "3,32,32"], "is of type int"),
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


def test_a_network_may_print_much_and_change_the_process(own: str, capsys: pytest.CaptureFixture[str]) -> None:
    here, argv, path = Path.cwd(), list(sys.argv), list(sys.path)
    try:
        assert main(["profile", f"{own}.nets:shouts", "--input-shape", "3,32,32"]) == 0
        assert main(["profile", f"{own}.nets:goes_away", "--input-shape", "3,32,32", "--out", "mine.json"]) == 0
    finally:
        os.chdir(here)
        sys.argv[:] = argv
    assert sys.path == path
    assert DNNProfile.from_json("mine.json").name == "goes_away"
    assert "Written to mine.json" in capsys.readouterr().out


NASTY = (
    "[red]conv1[/red]",
    "\x1b[2J\x1b]0;mine\x07",
    "two\nsfl: error: lines",
    "\u202egnp",
    ":smile: [link=x]\ud800",
)


def test_names_from_a_file_are_shown_as_they_are_and_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    stored = catalogue.load("lenet5").to_dict()
    stored["name"], stored["cut_names"] = "[bold]\x1b[31m[/nothing]", list(NASTY)
    path = tmp_path / "nasty[red].json"
    path.write_text(json.dumps(stored))
    assert main(["profile", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert "[bold]\\x1b[31m[/nothing]" in out
    for name in ("[red]conv1[/red]", "\\x1b[2J\\x1b]0;mine\\x07", "two\\nsfl: error: lines", ":smile: [link=x]"):
        assert name in out
    copy = tmp_path / "copy\x1b[2J.json"
    assert main(["profile", str(path), "--out", str(copy)]) == 0
    assert capsys.readouterr().out.replace("\n", "").isprintable()
    assert main(["profile", str(path), "--out", str(copy)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error[:-1].isprintable()


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
