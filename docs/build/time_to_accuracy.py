"""Measure who reaches a target accuracy first: ``python docs/build/time_to_accuracy.py``.

Policies decide the rounds of SFL-TimeToAccuracy-v0 twice: with the surrogate of learning in the place of a
network, and with the network trained, from held-out seeds. It writes docs/data/time-to-accuracy.json and, from
that and from the constants, docs/tiers/time-to-accuracy.md.

Takes about 6 minutes on one core. ``--page`` writes the page anew from the stored figures.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import sfl_baselines
from sfl_baselines.environments import held_out_seed, make_batch, make_single
from sfl_baselines.rollouts import play_to_the_end
from sfl_env.arrays import Array
from sfl_env.learning import surrogate
from sfl_env.presets import PRESETS
from sfl_env.storage.runs import versions, write_json
from sfl_lab.compare.intervals import GEOMETRIC_MEAN, MEAN, MEDIAN, Interval

DOCS = Path(__file__).parents[1]
FIGURES = DOCS / "data" / "time-to-accuracy.json"
PAGE = DOCS / "tiers" / "time-to-accuracy.md"
COMMAND = "python docs/build/time_to_accuracy.py"
ENV_ID = "SFL-TimeToAccuracy-v0"
POLICY = "time-to-accuracy"
POLICIES = (POLICY, "shallow", "common-cut", "alternating")
OVER = ("alternating", "common-cut", "shallow")
SEEDS = 24
"""Held-out seeds on which networks are trained."""
EPISODES = 200
"""Of the surrogate."""
BANDS_HZ = (0.25e6, 0.5e6, 1e6, 2e6, 4e6)
"""Widths of the band with which the surrogate is asked what is to be gained."""


class Reached(NamedTuple):
    """What it took episodes to reach the target: one number for each of M episodes."""

    time_s: Array  # (M,)
    rounds: Array  # (M,)


def reached(name: str, env: Any, seed: int) -> Reached:
    """Play episodes to the target accuracy, side by side.

    Raises
    ------
    RuntimeError
        If an episode ends before it: its time would be no time to the target.
    """
    episodes = env.episodes
    policy = sfl_baselines.make(name, env)
    time_s, rounds = np.zeros((2, episodes.n))
    there = np.zeros(episodes.n, dtype=np.bool_)
    for played in play_to_the_end(policy, episodes, seed):
        time_s += np.where(played.running, played.done.infos["latency_s"], 0.0)
        rounds += played.running
        there |= played.running & played.done.terminated
    if not there.all():
        raise RuntimeError(f"{name} has not reached the target in an episode of seed {seed}; allow more rounds.")
    return Reached(time_s, rounds)


def trained(name: str) -> Reached:
    """Train networks under a policy, one from each held-out seed."""
    env = make_single(ENV_ID, {"mode": "accuracy"}, torch_device="cpu")
    runs = [reached(name, env, held_out_seed(number)) for number in range(SEEDS)]
    print(name, "trained", flush=True)
    return Reached(*np.concatenate(runs, axis=1))


def simulated(name: str, **fields: Any) -> Reached:
    """Let the surrogate learn under a policy."""
    return reached(name, make_batch(ENV_ID, EPISODES, fields), held_out_seed(0))


def measure() -> dict[str, Any]:
    """Measure both, and what is to be gained with other bands."""
    fields = dict(PRESETS[ENV_ID].fields)
    bands = {
        f"{band_hz / 1e6:g}": {name: simulated(name, bandwidth_hz=band_hz)._asdict() for name in POLICIES}
        for band_hz in BANDS_HZ
    }
    return {
        "command": COMMAND,
        "versions": versions(),
        "fields": fields,
        "seeds": [held_out_seed(number) for number in range(SEEDS)],
        "trained": {name: trained(name)._asdict() for name in POLICIES},
        "simulated": {name: simulated(name)._asdict() for name in POLICIES},
        "bands_mhz": bands,
    }


def ratio(found: dict[str, Any], name: str, over: str) -> Interval:
    """Return a policy's time to the target over another's, seed by seed."""
    return GEOMETRIC_MEAN.interval(np.array(found[name]["time_s"]) / np.array(found[over]["time_s"]))


def told(interval: Interval, digits: int = 3) -> str:
    """Return an interval as the tables have it.

    Examples
    --------
    >>> told(MEAN.interval(np.array([1.0, 2.0, 3.0])), 2)
    '2.0 [-0.48, 4.5]'
    """
    value, low, high = (
        f"{number:#.{digits}g}".removesuffix(".") for number in (interval.value, interval.low, interval.high)
    )
    return f"{value} [{low}, {high}]"


def evidence_table(found: dict[str, Any]) -> list[str]:
    """Return rows of what training came to."""
    head = "".join(f" over `{name}` |" for name in OVER)
    lines = [
        f"| policy | seconds to the target | rounds to it |{head} by the surrogate: seconds | rounds |",
        f"|{'---|' * (5 + len(OVER))}",
    ]
    for name in POLICIES:
        runs = found["trained"][name]
        ratios = "".join(
            f" {'1' if name == over else told(ratio(found['trained'], name, over))} |" for over in OVER
        )
        seconds, rounds = MEDIAN.interval(np.array(runs["time_s"])), MEAN.interval(np.array(runs["rounds"]))
        expected = found["simulated"][name]
        median, mean = MEDIAN.centre(np.array(expected["time_s"])), MEAN.centre(np.array(expected["rounds"]))
        lines.append(f"| `{name}` | {told(seconds)} | {told(rounds)} |{ratios} {median:.3g} | {mean:.3g} |")
    return lines


def band_table(found: dict[str, Any]) -> list[str]:
    """Return rows of what is to be gained, by the width of the band."""
    lines = ["| band |" + "".join(f" over `{name}` |" for name in OVER), f"|{'---|' * (1 + len(OVER))}"]
    for band, runs in found["bands_mhz"].items():
        lines.append(f"| {band} MHz |" + "".join(f" {ratio(runs, POLICY, over).value:.3f} |" for over in OVER))
    return lines


def about(scenario: dict[str, Any]) -> str:
    """Return in words how the data of a setting is spread."""
    if scenario["partition"] == "iid":
        return "IID"
    return f"{scenario['partition']}, {scenario['partition_concentration']:g}"


def constants_table(constants: dict[str, Any]) -> list[str]:
    """Return rows of the fitted constants."""
    blocks = len(constants["measured"][0]["rounds_per_block"])
    more = "".join(f" block {block} |" for block in range(2, blocks + 1))
    lines = [f"| data | rounds at least |{more} spread |", f"|{'---|' * (blocks + 2)}"]
    for each in constants["measured"]:
        found = (each["least_rounds"], *each["rounds_per_block"][1:], each["spread"])
        lines.append(f"| {about(each['scenario'])} |" + "".join(f" {number:.2f} |" for number in found))
    return lines


def check_table(constants: dict[str, Any]) -> list[str]:
    """Return rows of how far the constants are off."""
    lines = [
        "| data | one cut for all | random cuts | cuts that change | single runs | by samples | cuts left out |",
        f"|{'---|' * 7}",
    ]
    for each in constants["measured"]:
        checks = [told(Interval(**kind["ratio"])) for kind in each["check"].values()]
        row = [about(each["scenario"]), *checks, *(f"{off:.3f}" for off in each["off"].values())]
        lines.append(f"| {' | '.join(row)} |")
    return lines


BEFORE = """# Time to accuracy

This page is written by `docs/build/time_to_accuracy.py`, and all of its figures are measured by it and by
`docs/build/surrogate.py`.

The shortest rounds need not be the soonest at a target accuracy: blocks that devices hold drift apart within a
round, most of all on skewed data, while those on the server take common steps. Shallow cuts then need fewer
rounds, and take longer for each, since more is sent. `SFL-TimeToAccuracy-v0` is the tier in which that is the
question. Training a network in every step is slow for reinforcement learning, so its rounds advance a
*surrogate of learning*, fitted to trained networks; what counts in the end is a trained network, with
`mode="accuracy"`:

```python
import gymnasium as gym
import sfl_env

envs = gym.make_vec("SFL-TimeToAccuracy-v0", num_envs=1024)  # the surrogate, for training agents
env = gym.make("SFL-TimeToAccuracy-v0", mode="accuracy")  # the network itself, for the figures
```

## The surrogate

The rounds that the target takes are linear in the share of devices that hold each block:

    rounds(c) = least_rounds + sum over blocks l of rounds_per_block[l] * mean over devices k of [c_k >= l]

That has the form of AdaptSFL's bound (Lin et al., arXiv:2403.13101), whose rounds grow with terms of the blocks
on the devices; only its abstract was at hand, and the constants here are fitted and not derived. A round with
cuts c brings the learning forward by 1 / rounds(c). The episode terminates where the sum reaches what this
episode needs, which is log-normal around 1 with the fitted spread. Agents see the sum (the column `learnt` of
the observation, and `info["learnt"]`) and not the need: with both, they could shorten the last round by deep
cuts in a way that no training allows. The reward is minus the round's time, so the return is minus the time to
the target.

Constants hold for the fields that they were measured with (network, data, partition, devices, server,
optimiser, steps, mini-batches, target); other fields are refused, with the command that measures them. All
devices take part, so `deadline_s` and `battery_share` are refused; a device in an outage is taken to lower the
round's progress by its share, which is not measured. Every device counts alike: observations do not tell how
much data each holds; the last table of this section has what it would change.
"""

POLICY_ABOUT = """## The policy

`sfl_baselines.make("time-to-accuracy", env)` minimises in every round its length times the rounds that its cuts
take, over all cuts, with the optimal split of the band for each: a local search from several starts
(`baselines/sfl_baselines/time_to_accuracy.py`), compared with all combinations in its tests. It is not proven
optimal. It refuses environments without constants.

```python
import sfl_baselines

policy = sfl_baselines.make("time-to-accuracy", envs)
observations, _ = envs.reset(seed=0)
actions, _ = policy.predict(observations)
print(envs.step(actions)[4]["learnt"].mean())
```

`sfl benchmark --env-id SFL-TimeToAccuracy-v0`, with `--agents` for trained ones, ranks policies by their returns
and so by their seconds to the target, which it shows first, beside the part of the episodes that get there. A
round over its optimum says how long a round is and not how many it takes, so it ranks nobody here.
"""


CONSTANTS_ABOUT = """`{command}`: networks trained to the target {runs} times for each kind of data, with one
cut for all devices and with random cuts. *Block*: rounds more where all devices hold it. *Spread*: standard
deviation of the logarithm of a run's rounds around the fit.
"""

CHECK_ABOUT = """Held-out runs, on other seeds: their rounds over those predicted, mean and 95 % interval
(Student's). Random cuts that change do so once, after 3 to 8 rounds. Then how far single runs with random cuts
are from the prediction (root mean square of the logarithm), and how far they would be if devices counted by
their samples, or if cuts were taken not to matter.
"""

EVIDENCE_ABOUT = """## Who is first

`{command}`: networks trained from {seeds} held-out seeds, the same for every policy, each until its test
accuracy is at the target. Seconds: median; rounds: mean; ratios of seconds, seed by seed: geometric mean; all
with 95 % intervals over seeds. The last columns are median and mean over {episodes} of the surrogate's episodes,
which was fitted to none of these seeds. It promises {promised:.3f} of the time of `alternating`, and training
gives {given:.3f}: what the surrogate promises is to be trained before it is believed.
"""

FIELDS_ABOUT = """Fields: {fields}. By the surrogate, the policy's time over others', with other bands:
"""


def page(found: dict[str, Any], constants: dict[str, Any]) -> str:
    """Return the page that the figures make."""
    packages = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    fields = ", ".join(f"`{name}={value!r}`" for name, value in found["fields"].items())
    runs = constants["measured"][0]["runs"]
    return "\n".join(
        [
            BEFORE,
            CONSTANTS_ABOUT.format(command=constants["source"], runs=runs),
            *constants_table(constants),
            "",
            CHECK_ABOUT,
            *check_table(constants),
            "",
            POLICY_ABOUT,
            EVIDENCE_ABOUT.format(
                command=found["command"],
                seeds=len(found["seeds"]),
                episodes=len(found["simulated"][POLICY]["time_s"]),
                promised=ratio(found["simulated"], POLICY, "alternating").value,
                given=ratio(found["trained"], POLICY, "alternating").value,
            ),
            *evidence_table(found),
            "",
            FIELDS_ABOUT.format(fields=fields),
            *band_table(found),
            "",
            f"Versions: {packages}.",
            "",
        ]
    )


def main() -> None:
    """Measure, unless stored figures are to be used, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.page:
        write_json(FIGURES, measure())
    constants = json.loads(surrogate.STORED.read_text(encoding="utf-8"))
    PAGE.write_text(page(json.loads(FIGURES.read_text(encoding="utf-8")), constants), encoding="utf-8")


if __name__ == "__main__":
    main()
