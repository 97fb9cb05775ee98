"""What users import from ``sfl_env.learning``, and when it loads torch."""

import os
import subprocess
import sys

import pytest

import sfl_env.learning as face
from sfl_env.learning import data, federated, plan, protocol, result, scenario


def test_the_face_shows_the_modules_own() -> None:
    assert face.SplitFederatedTraining is federated.SplitFederatedTraining
    assert face.LocalTraining is plan.LocalTraining
    assert face.RoundResult is result.RoundResult
    assert face.Score is protocol.Score
    assert face.load_data is data.load
    assert face.ScenarioLearner is scenario.ScenarioLearner
    for name in face.__all__:
        assert getattr(face, name).__module__.startswith("sfl_env.learning.")
    assert set(face.__all__) <= set(dir(face))


def test_what_is_not_there_is_an_attribute_error_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match=r"module 'sfl_env.learning' has no attribute 'Trainer'"):
        _ = face.Trainer


def test_torch_is_loaded_when_something_that_needs_it_is_asked_for() -> None:
    code = (
        "import sys, gymnasium as gym, sfl_env, sfl_env.learning, sfl_env.learning.protocol\n"
        "env = gym.make('SFL-v0'); env.reset(seed=0)\n"
        "from sfl_env.learning import Learner, Partition, Progress, Score, scheme\n"
        "assert not {'torch', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "from sfl_env.learning import LocalTraining\n"
        "assert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})
