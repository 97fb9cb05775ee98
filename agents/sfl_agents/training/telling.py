"""What a trained agent is made of, in words that follow from its settings."""

from sfl_agents.training.algorithms import ALGORITHMS, CARRIES_OVER, MASKING, TAUGHT, library_of, way_of
from sfl_agents.training.job import Job
from sfl_agents.training.settings import Settings

_REWARDS = {
    "raw": "the environment's reward as it is",
    "log": "log reward",
    "normalised": "reward scaled by VecNormalize",
    "excess": "reward for what a round is shorter than a sensible one",
}


def about(job: Job) -> str:
    """Return a sentence's part on an agent: which of it is Stable-Baselines3's and which this package's.

    Parameters
    ----------
    job : Job
        How the agent was trained; its seed is not told.

    Returns
    -------
    str
        Algorithm, policy class, distribution of actions, what it learns from, reward, discount, rounds of
        training, how the agent was chosen among its checkpoints, and where it was trained.

    Examples
    --------
    >>> stock = Settings(total_steps=4096, num_envs=1, hyperparameters={"n_steps": 2048})
    >>> print(about(Job("ppo", "SFL-v0", stock)))
    PPO of Stable-Baselines3 with its stock MlpPolicy (diagonal Gaussian) on standardised observations, learnt
    from reward alone, reward scaled by VecNormalize, gamma = 0.99, 4,096 rounds of `SFL-v0`, the best of its
    checkpoints on 32 validation episodes
    """
    settings = job.settings
    parts = [
        f"{ALGORITHMS[job.algo].partition(':')[2]} of {library_of(job.algo)} with {_policy(job.algo, settings)}",
        *_learnt(job.algo, settings),
        f"{settings.trained_steps(job.algo):,} rounds of {_environment(job)}",
        f"the best of its checkpoints on {job.evaluation_episodes} validation episodes",
    ]
    return ", ".join(parts)


def _learnt(algo: str, settings: Settings) -> list[str]:
    if algo in TAUGHT:
        return [f"learnt by {way_of(algo)}"]
    return [
        f"learnt {way_of(algo)}",
        _REWARDS[settings.reward],
        f"gamma = {settings.hyperparameter(algo, 'gamma'):g}",
    ]


def _policy(algo: str, settings: Settings) -> str:
    distribution = _distribution(algo, settings)
    if settings.policy == "DevicePolicy":
        return f"this package's DevicePolicy (one network for all devices; {distribution})"
    if settings.policy == CARRIES_OVER:
        needed = "needs for learnt lengths of the stages" if settings.policy_kwargs.get("staged") else "needs"
        return f"this package's {settings.policy} (points at cuts by the share that each {needed}; {distribution})"
    return f"its stock {settings.policy} ({distribution}) on standardised observations"


def _distribution(algo: str, settings: Settings) -> str:
    if algo == "sac":
        return "squashed Gaussian"
    if algo in ("td3", "ddpg"):
        noise = (
            f"exploring with Gaussian noise of {settings.action_noise:g}" if settings.action_noise else "no noise"
        )
        return f"deterministic, {noise}"
    if settings.action_mode != "continuous":
        return "categorical choices, those that do not fit masked" if algo == MASKING else "categorical choices"
    if settings.policy in (CARRIES_OVER, "DevicePolicy"):
        return "categorical cut and Gaussian log-share"
    return "state-dependent exploration" if settings.hyperparameters.get("use_sde") else "diagonal Gaussian"


def _environment(job: Job) -> str:
    fields = "".join(f", {name}={value!r}" for name, value in job.fields.items())
    others = len(job.settings.scenarios)
    return f"`{job.env_id}`{fields}" + (f" and {others} other scenarios by turns" if others else "")
