"""Agents for the tests of comparisons."""

import warnings
from pathlib import Path

from sfl_lab.cli import main


def barely_trained(out: Path, *options: str) -> Path:
    """Train an agent for a few steps in the discrete action mode, and return its run's folder."""
    size = [] if "--total-steps" in options else ["--total-steps", "64"]
    size += ["--num-envs", "2", "--fields", "num_devices=4", "max_rounds=5"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so short a training does not fill the algorithm's mini-batches
        assert main(["train", *size, "--action-mode", "discrete", *options, "--out", str(out)]) == 0
    return out
