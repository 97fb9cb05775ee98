"""Write images/round.png: one round of SFL-v0 under the optimum and under equal shares, on one time axis."""

import dataclasses
from pathlib import Path

from matplotlib.figure import Figure

from sfl_baselines.rules import equal_bandwidth
from sfl_env.env import SFLEnv
from sfl_env.optimum.joint import solve_exact
from sfl_env.render import FIGURE_SIZE_INCHES, RoundPicture, draw_rounds, picture_of
from sfl_env.rounds.problem import Decision

IMAGES = Path(__file__).parents[1] / "images"
SEED = 7
DOTS_PER_INCH = 150


def picture_under(env: SFLEnv, decision: Decision, heading: str) -> RoundPicture:
    """Return the picture of the environment's present round under a decision."""
    episodes = env.episodes
    outcome = episodes.simulator.outcome(episodes.now.state, episodes.now.true, decision)
    info = {
        "phase_latency_s": outcome.phase_latency_s[:, 0].T,
        "latency_s": outcome.latency_s[0],
        "cut": decision.cut[0],
        "bandwidth_share": decision.bandwidth_share[0],
        "optimal_latency_s": float(solve_exact(episodes.true_problem()).latency_s[0]),
    }
    return dataclasses.replace(picture_of(episodes, info), heading=heading)


def main() -> None:
    """Write the picture."""
    env = SFLEnv()
    env.reset(seed=SEED)
    problem = env.episodes.true_problem()
    figure = Figure((FIGURE_SIZE_INCHES[0], 1.75 * FIGURE_SIZE_INCHES[1]))
    draw_rounds(
        figure,
        [
            picture_under(env, solve_exact(problem).decision, "Optimal cuts and shares of the band"),
            picture_under(env, equal_bandwidth(problem), "Equal shares, each device's best cut"),
        ],
    )
    IMAGES.mkdir(exist_ok=True)
    figure.savefig(IMAGES / "round.png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    print(IMAGES / "round.png")


if __name__ == "__main__":
    main()
