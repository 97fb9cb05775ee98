"""The fitted constants of learning that hold in an environment."""

from sfl_env.episodes import Episodes
from sfl_env.errors import PolicyError, ScenarioError
from sfl_env.learning.surrogate import Surrogate, find


def surrogate_of(episodes: Episodes) -> Surrogate:
    """Return the constants of the learning that an environment simulates or carries out.

    Raises
    ------
    PolicyError
        If there are none for its fields, or for a network, data or learner of the user's own.
    ScenarioError
        If the environment's own constants are not one for each block of its network.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> surrogate_of(gym.make("SFL-TimeToAccuracy-v0").unwrapped.episodes).rounds_per_cut[0]
    np.float64(0.0)
    """
    scenario, learner = episodes.scenario, episodes.learner
    try:
        surrogate = find(scenario)
    except ScenarioError as error:
        raise PolicyError(f"There are no constants of learning to decide by. {error}") from error
    profile = episodes.simulator.profile
    surrogate.require_blocks(profile)
    if scenario.surrogate_rounds:
        return surrogate
    own_learning = learner is not None and not getattr(learner, "is_as_fields_say", False)
    if own_learning or profile.name != scenario.network:
        raise PolicyError(
            "There are no constants of learning to decide by: they are those of the scenario's own network and "
            "data, and this environment has a network, data or a learner of another kind."
        )
    return surrogate
