"""What a trained agent is made of, in words that follow from its settings."""

from sfl_agents.training.algorithms import ALGORITHMS, MASKING, library_of
from sfl_agents.training.job import Job
from sfl_agents.training.settings import Settings

_REWARDS = {
    "raw": "the environment's reward as it is",
    "log": "log reward",
    "normalised": "reward scaled by VecNormalize",
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
        Algorithm, policy class, distribution of actions, reward, discount, rounds of training, how the agent was
        chosen among its checkpoints, and where it was trained.

    Examples
    --------
    >>> stock = Settings(total_steps=4096, num_envs=1, hyperparameters={"n_steps": 2048})
    >>> print(about(Job("ppo", "SFL-v0", stock)))
    PPO of Stable-Baselines3 with its stock MlpPolicy (diagonal Gaussian) on standardised observations, reward
    scaled by VecNormalize, gamma = 0.99, 4,096 rounds of `SFL-v0`, the best of its checkpoints on 32 validation
    episodes
    """
    settings = job.settings
    parts = [
        f"{ALGORITHMS[job.algo].partition(':')[2]} of {library_of(job.algo)} with {_policy(job.algo, settings)}",
        _REWARDS[settings.reward],
        f"gamma = {settings.hyperparameter(job.algo, 'gamma'):g}",
        f"{settings.trained_steps(job.algo):,} rounds of {_environment(job)}",
        f"the best of its checkpoints on {job.evaluation_episodes} validation episodes",
    ]
    return ", ".join(parts)


def _policy(algo: str, settings: Settings) -> str:
    distribution = _distribution(algo, settings)
    if settings.policy == "DevicePolicy":
        return f"this package's DevicePolicy (one network for all devices; {distribution})"
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
    if settings.policy == "DevicePolicy":
        return "categorical cut and Gaussian log-share"
    return "state-dependent exploration" if settings.hyperparameters.get("use_sde") else "diagonal Gaussian"


def _environment(job: Job) -> str:
    fields = "".join(f", {name}={value!r}" for name, value in job.fields.items())
    return f"`{job.env_id}`{fields}"
