"""Run folders that anybody may have written run no code, take no memory, and are refused in one line."""

import json
import resource
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import sfl_agents
from sfl_agents.files import archive
from sfl_baselines.environments import make_batch
from sfl_env.errors import PolicyError, RunError
from sfl_env.storage import runs
from sfl_lab import cli
from tests.fuzz import crafted, run_folders
from tests.sfl_agents import tiny

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.finished(tiny.job(), tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    as_on_the_command_line = tiny.job("sac", num_evaluations=20, evaluation_episodes=32)
    return tiny.broken_off(as_on_the_command_line, tmp_path_factory.mktemp("broken") / "run")


@pytest.fixture
def touched(tmp_path: Path) -> Path:
    return tmp_path / "touched"


def copy(run: Path, folder: Path) -> Path:
    shutil.copytree(run, folder)
    return folder


def write_pickle(file: Path, touched: Path) -> None:
    file.write_bytes(crafted.pickled(touched))


def resume(folder: Path) -> int:
    """Go on with a SAC run by the command line."""
    file = folder.parent / "settings.yml"
    settings = runs.to_plain(tiny.OFF_POLICY)
    file.write_text(yaml.safe_dump(settings))
    fields = [f"{name}={value}" for name, value in tiny.FIELDS.items()]
    where = ["--settings", str(file), "--fields", *fields, "--out", str(folder)]
    return cli.main(["train", "--algo", "sac", "--resume", *where])


def test_a_crafted_pickle_would_run_if_it_were_opened(touched: Path) -> None:
    import pickle

    pickle.loads(crafted.pickled(touched))
    assert touched.exists()


@pytest.mark.parametrize("command", [["evaluate"], ["benchmark", "--policies", "common-cut", "--agents"]])
def test_a_crafted_agent_does_not_run(
    finished: Path, tmp_path: Path, touched: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    folder = copy(finished, tmp_path / "run")
    crafted.foreign_agent(folder / "agent.zip", touched)
    for path in (folder, folder / "agent.zip"):
        assert cli.main([*command, str(path)]) == 2
        error = capsys.readouterr().err
        assert "runs whatever code" in error
        assert "--trust" in error
        assert len(error.splitlines()) == 1
        assert not touched.exists()


@pytest.mark.parametrize("name", ["model.zip", "best.zip", "replay_buffer.zip"])
def test_a_crafted_checkpoint_does_not_run(broken_off: Path, tmp_path: Path, touched: Path, name: str) -> None:
    for number, write in enumerate((crafted.foreign_agent, write_pickle)):
        folder = copy(broken_off, tmp_path / f"run{number}")
        (file,) = folder.glob(f"checkpoints/*/{name}")
        write(file, touched)
        # The best agent so far is opened at the training's end alone, where it may be a later one.
        assert resume(folder) == 2 or name == "best.zip"
        assert not touched.exists()


def test_what_is_whole_goes_on(broken_off: Path, tmp_path: Path) -> None:
    assert resume(copy(broken_off, tmp_path / "run")) == 0


def test_pickles_beside_a_checkpoint_are_not_opened(broken_off: Path, tmp_path: Path, touched: Path) -> None:
    folder = copy(broken_off, tmp_path / "run")
    (checkpoint,) = (folder / "checkpoints").iterdir()
    for name in ("reward_scale.json", "replay_buffer.zip"):
        (checkpoint / name).with_suffix(".pkl").write_bytes(crafted.pickled(touched))
        (checkpoint / name).unlink()
    assert resume(folder) == 2
    assert not touched.exists()


def test_an_array_of_objects_does_not_run(finished: Path, tmp_path: Path, touched: Path) -> None:
    folder = copy(finished, tmp_path / "run")
    stored = archive.read(folder / "agent.zip")
    name = min(stored.arrays)
    run_folders._member(Path("agent.zip"), f"{name}.npy", crafted.pickled_array(touched))(folder)
    with pytest.raises(PolicyError, match="objects"):
        sfl_agents.load(folder, make_batch("SFL-v0", 1, tiny.FIELDS))
    assert not touched.exists()


def test_trust_opens_what_runs_code(finished: Path, tmp_path: Path, touched: Path) -> None:
    folder = copy(finished, tmp_path / "run")
    crafted.foreign_agent(folder / "agent.zip", touched)
    with pytest.raises(PolicyError, match="not a whole agent file"):
        sfl_agents.load(folder, make_batch("SFL-v0", 1, tiny.FIELDS), trust=True)
    assert touched.exists()


def test_a_trusted_agent_of_stable_baselines3_acts_as_it_did(finished: Path, tmp_path: Path) -> None:
    env = make_batch("SFL-v0", 2, tiny.FIELDS)
    ours = sfl_agents.load(finished, env)
    folder = copy(finished, tmp_path / "run")
    ours.save(folder / "agent.zip")
    with pytest.raises(RunError, match="trust=True"):
        sfl_agents.load(folder, env)
    theirs = sfl_agents.load(folder, env, trust=True)
    observation, _ = env.reset(seed=0)
    first, second = (agent.predict(observation, deterministic=True)[0] for agent in (ours, theirs))
    assert (first == second).all()


def test_a_run_of_version_0_1_says_so(finished: Path, tmp_path: Path, touched: Path) -> None:
    folder = copy(finished, tmp_path / "run")
    config = runs.read_config(folder)
    del config["format"]
    config["invocations"][0]["versions"]["sfl-env"] = "0.1.0"
    runs.write_json(folder / "config.json", config)
    crafted.foreign_agent(folder / "agent.zip", touched)
    with pytest.raises(RunError, match=r"sfl-env 0\.1\.0 wrote.*Train the agent again.*trust=True"):
        sfl_agents.load(folder, make_batch("SFL-v0", 1, tiny.FIELDS))


def test_a_bomb_takes_no_memory(finished: Path, tmp_path: Path) -> None:
    folder = copy(finished, tmp_path / "run")
    file = folder / "agent.zip"
    crafted.bomb(file, run_folders._members(file), 256 * 2**20)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PolicyError, match="not a whole agent file"):
        sfl_agents.load(folder, make_batch("SFL-v0", 1, tiny.FIELDS))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 100 * 1024


def rename_environment(folder: Path, env_id: str) -> None:
    """Let a run's configuration and its agent say that it was trained on another environment."""
    config = runs.read_config(folder)
    config["settings"]["env_id"] = env_id
    runs.write_json(folder / "config.json", config)
    stored = archive.read(folder / "agent.zip")
    stored.header["job"]["env_id"] = env_id
    archive.write(folder / "agent.zip", stored.header, stored.arrays)


def test_a_configuration_beside_another_trainings_agent_is_refused(finished: Path, tmp_path: Path) -> None:
    folder = copy(finished, tmp_path / "run")
    config = runs.read_config(folder)
    config["settings"]["fields"]["num_devices"] = 4
    runs.write_json(folder / "config.json", config)
    with pytest.raises(RunError, match="of different trainings"):
        sfl_agents.load(folder, make_batch("SFL-v0", 1, tiny.FIELDS))


def test_a_module_that_a_file_names_is_not_imported(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    touched = tmp_path / "imported"
    (tmp_path / "somebodys.py").write_text(f"open({str(touched)!r}, 'w').close()\nimport sfl_env\n")
    monkeypatch.syspath_prepend(tmp_path)
    folder = copy(finished, tmp_path / "run")
    rename_environment(folder, "somebodys:SFL-v0")
    assert cli.main(["evaluate", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "'somebodys'" in error
    assert not touched.exists()
    assert cli.main(["evaluate", str(folder), "--env-id", "somebodys:SFL-v0", "--episodes", "2"]) == 0
    assert touched.exists()


def refused_in_one_line(status: int, error: str) -> bool:
    """Whether a command ended well, or with one error of ours."""
    return status == 0 or (status, error.count("sfl: error:"), "Traceback" in error) == (2, 1, False)


def test_damaged_folders_are_refused_in_one_line(
    finished: Path, tmp_path: Path, touched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = 0
    for name, folder in run_folders.mutated(finished, tmp_path / "mutated", 0, touched, at_most=130):
        status = cli.main(["evaluate", str(folder), "--episodes", "2"])
        error = capsys.readouterr().err
        assert refused_in_one_line(status, error), (name, error)
        assert not touched.exists(), name
        tried += 1
    assert tried == 130


def test_what_is_damaged_in_an_unfinished_run_is_refused_in_one_line(
    broken_off: Path, tmp_path: Path, touched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, folder in run_folders.mutated(broken_off, tmp_path / "mutated", 1, touched, at_most=60):
        status = resume(folder)
        error = capsys.readouterr().err
        assert refused_in_one_line(status, error), (name, error)
        assert not touched.exists(), name


def test_damaged_agents_are_refused_in_comparisons(
    finished: Path, tmp_path: Path, touched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--policies", "common-cut", "--episodes", "2", "--out", str(tmp_path / "out"), "--overwrite"]
    fields = ["--fields", *(f"{name}={value}" for name, value in tiny.FIELDS.items())]
    for name, folder in run_folders.mutated(finished, tmp_path / "mutated", 2, touched, at_most=20):
        status = cli.main(["benchmark", "--agents", str(folder), *options, *fields])
        error = capsys.readouterr().err
        assert refused_in_one_line(status, error), (name, error)
        assert not touched.exists(), name


@pytest.mark.parametrize("name", ["checkpoints", "evaluations.csv", "tensorboard", "agent.zip", "summary.json"])
def test_what_stands_in_the_way_of_results_is_told(
    broken_off: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = copy(broken_off, tmp_path / "run")
    if (folder / name).is_dir():
        shutil.rmtree(folder / name)
        (folder / name).touch()
    else:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()
    assert resume(folder) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "sfl: error:" in line]
    assert len(error) == 1
    assert name in error[0]


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
    assert cli.main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sfl: error: ")
    assert error.count("\n") == 1


@pytest.fixture(scope="module")
def in_cuts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = tiny.SETTINGS.replace(action_mode="cut")
    return tiny.finished(tiny.job(settings=settings), tmp_path_factory.mktemp("cuts") / "run")


GONE = object()


@pytest.mark.parametrize("value", [GONE, [], ["ppo"], None], ids=["gone", "[]", "[ppo]", "None"])
@pytest.mark.parametrize(
    "where",
    ["settings", "settings.algo", "settings.settings", "settings.settings.action_mode", "settings.env_id"],
)
def test_a_configuration_without_what_an_agent_needs_is_refused(
    in_cuts: Path, tmp_path: Path, where: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy(in_cuts, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    *outer, last = where.split(".")
    holder = config
    for name in outer:
        holder = holder[name]
    if value is GONE:
        del holder[last]
    else:
        holder[last] = value
    (folder / "config.json").write_text(json.dumps(config))
    refused(capsys, "evaluate", folder, "--episodes", 2)
    played = ["--episodes", 2, "--policies", "exact", "--out", tmp_path / "out"]
    refused(capsys, "benchmark", "--agents", folder, *played)


@pytest.mark.parametrize("damaged", ["policy.pth", "policy_class", "data", "n_envs"])
def test_a_damaged_agent_of_stable_baselines3_is_refused_where_it_is_trusted(
    finished: Path, tmp_path: Path, damaged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = foreign(finished, tmp_path / "run", damaged)
    refused(capsys, "evaluate", folder, "--episodes", 2, "--trust")


def foreign(run: Path, folder: Path, without: str) -> Path:
    """A run whose agent is stored by Stable-Baselines3 itself, with one thing damaged or taken out."""
    sfl_agents.load(run, make_batch("SFL-v0", 1, tiny.FIELDS)).save(copy(run, folder) / "agent.zip")
    with zipfile.ZipFile(folder / "agent.zip") as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    if without in members:
        members[without] = b"garbage"
    else:
        data = json.loads(members["data"])
        del data[without]
        members["data"] = json.dumps(data).encode()
    with zipfile.ZipFile(folder / "agent.zip", "w") as stored:
        for name, content in members.items():
            stored.writestr(name, content)
    return folder


HUGE: list[dict[str, Any]] = [
    {"net_arch": [4096] * 32},
    {"net_arch": {"pi": [8], "vf": [4096, 4096]}},
    {"net_arch": {"pi": [8], "qf": [512, 512]}, "n_critics": 100},
    {"net_arch": [8], "lstm_hidden_size": 4096, "n_lstm_layers": 32},
]
"""Arguments of networks: a few bytes are enough to ask for gigabytes, and for minutes of drawing weights."""


@pytest.mark.parametrize(("algo", "kwargs"), list(zip(["ppo", "a2c", "sac", "recurrent-ppo"], HUGE, strict=True)))
def test_settings_in_a_file_do_not_make_networks_that_the_file_has_no_weights_for(
    tmp_path: Path, algo: str, kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if algo == "recurrent-ppo":
        pytest.importorskip("sb3_contrib")
    file = tiny.finished(tiny.job(algo), tmp_path / "run") / "agent.zip"
    stored = archive.read(file)
    stored.header["job"]["settings"] |= {"policy_kwargs": kwargs}
    if isinstance(kwargs["net_arch"], dict):
        stored.header["job"]["settings"]["policy"] = "MlpPolicy"
    archive.write(tmp_path / "agent.zip", stored.header, stored.arrays)
    built: list[str] = []
    monkeypatch.setattr("sfl_agents.files.agent_file.build_to_act", lambda *_: built.append("a network"))
    with pytest.raises(PolicyError, match=r"its settings ask for networks of \d+ numbers or more"):
        sfl_agents.load(tmp_path / "agent.zip", make_batch("SFL-v0", 1, tiny.FIELDS))
    assert not built


@pytest.mark.parametrize("algo", ["ppo", "a2c", "sac", "td3", "maskable-ppo", "recurrent-ppo"])
def test_the_least_size_of_networks_is_no_more_than_their_size(tmp_path: Path, algo: str) -> None:
    from sfl_agents.files.size import least_numbers

    if "-" in algo:
        pytest.importorskip("sb3_contrib")
    kwargs: dict[str, Any] = {"net_arch": [16, 16, 4]}
    if algo == "recurrent-ppo":
        kwargs |= {"lstm_hidden_size": 8, "n_lstm_layers": 2}
    if algo in ("sac", "td3"):
        kwargs |= {"n_critics": 3}
    file = tiny.finished(tiny.job(algo, tiny.settings_of(algo).replace(policy_kwargs=kwargs)), tmp_path / "run")
    weights = [array for name, array in archive.read(file / "agent.zip").arrays.items() if "optimizer" not in name]
    assert 0 < least_numbers(kwargs) <= sum(array.size for array in weights)
