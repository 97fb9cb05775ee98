"""The single environment: a batch of one behind Gymnasium's interface."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from sfl_env.checks import require_entries
from sfl_env.episodes import AllOrNothing, Episodes, ProblemAccess, action_masks
from sfl_env.render import Frame, picture_of, screen
from sfl_env.simulation.stored import restored_generator
from sfl_env.spaces.incoming import as_array


class SFLEnv(ProblemAccess, gym.Env[NDArray[Any], NDArray[Any]]):
    r"""Rounds of split federated learning over a shared wireless band: choose every device's cut and share.

    ## Description

    K devices train one network together. In each round every device downloads its part of the network, the
    layers up to its *cut*, runs E mini-batches through it, sends the activations at the cut (the *smashed
    data*) over the radio, gets their gradients back and uploads its part for averaging. The server runs
    the other layers. Devices differ in speed, memory and channel, and both speed and channel change from
    round to round. An agent chooses each device's cut and its share of the band; the round lasts as long
    as the slowest device, the *straggler*. ``docs/model.md`` has the formulae.

    ## Action Space

    By ``action_mode``:

    | mode | space | meaning |
    |---|---|---|
    | ``"continuous"`` | ``Box(-1, 1, (K, 2), float32)`` | column 0 falls into one of C equal bins: the cut; column 1 times 5 is the logarithm of the device's weight, and shares are weights over their sum (softmax), so one share can be e^10 times another |
    | ``"residual"`` | ``Box(-5, 5, (K, 2), float32)`` | both columns relative to a sensible decision, which the zero action is: every device's own best cut, and shares in proportion to air time. Column 0 within [-2, 2] keeps the cut, beyond it goes cuts deeper (positive) or shallower; column 1 times 0.2 is the logarithm of what the share is multiplied with, beyond 3.5 on a steeper line up to 8 |
    | ``"cut"`` | ``MultiDiscrete([C] * K)`` | the cuts; the band is split optimally for what is observed |
    | ``"discrete"`` | ``MultiDiscrete([C] * K + [32] * K)`` | the cuts, then a level of each device's log-weight, -3 to 3 |

    A cut whose device side does not fit into the device's memory is replaced by the deepest that fits, and
    ``info["cut_limited"]`` says so. :meth:`action_masks` tells which cuts fit.

    ## Observation Space

    ``Box(-1, 1, (K, F), float32)``, one row for each device; F = 10, and 5 more with batteries, 2 more with an old
    channel, 1 more with ``learning_surrogate``, 3 more in accuracy mode:

    | column | feature | scale from -1 to 1 |
    |---|---|---|
    | 0 | received uplink power over noise density, p g / N0 | logarithmic, 1 to 1e15 Hz |
    | 1 | forward speed that the device has free now | logarithmic, 1e6 to 1e15 FLOP/s |
    | 2 | downlink rate with the whole band | logarithmic, 1e2 to 1e13 bit/s; -1: the device cannot be reached |
    | 3 | spread of the small-scale fading, 1 / sqrt(1 + K) of the Rician factor K | linear, 0 (steady) to 1 (Rayleigh) |
    | 4 | progress of the episode (same in every row) | linear, first to last round |
    | 5 | FLOP/s of the backward pass over those of the forward pass | logarithmic, 1e-3 to 1e3 |
    | 6 | bytes through memory for each FLOP, forward | logarithmic, 1e-6 to 1e6; 1 where traffic takes no time |
    | 7 | the same, backward | logarithmic, 1e-6 to 1e6 |
    | 8 | samples a round | logarithmic, 1 to 1e9 |
    | 9 | deepest cut that fits the memory | linear, first to last cut |
    | 10 | takes part (with batteries) | -1 or 1 |
    | 11 | battery left of what training may use (with batteries) | linear, empty to full |
    | 12, 13, 14 | part of that battery that a second of computing, sending, receiving takes more than waiting (with batteries) | logarithmic, 1e-9 to 1e3 |
    | 10 and 11, or 15 and 16 with batteries | uplink power over noise density, as column 0, and downlink ratio of signal to noise, both without small-scale fading (with ``csi_delay_rounds``) | logarithmic, 1 to 1e15 Hz and 1e-9 to 1e15 |
    | after these | what the surrogate has learnt of what the target typically takes (``learning_surrogate``, same in every row) | linear, 0 to 2 |
    | -3 | test accuracy of the global model (accuracy mode, same in every row) | linear, 0 to 1 |
    | -2 | its test loss (accuracy mode, same in every row) | logarithmic, 1e-4 to 1e4 |
    | -1 | time since the episode's start (accuracy mode, same in every row) | logarithmic, 1e-3 to 1e9 s |

    ``observation_mode="problem"`` adds what carries over between bands, networks, mini-batches, cells and numbers of
    devices, relative to the round of the sensible decision that residual actions start from. With A columns as above:

    | column | feature | scale from -1 to 1 |
    |---|---|---|
    | A | uplink signal-to-noise ratio at an equal share of the band | logarithmic, 1e-6 to 1e6 |
    | A + 1 | share in the sensible decision times K | logarithmic, 1e-3 to 1e3 |
    | A + 2 | length of that decision's round over the nominal round | logarithmic, 1e-3 to 1e3 |
    | A + 3, A + 4 | the device's seconds in that round over the round's; of these, what no band shortens | linear, 0 to 1 |
    | A + 5 | its cut there | linear, first to last cut |
    | C each | for every cut: seconds that no band shortens, of the uplink and of the downlink at an equal share, over that round's | logarithmic, 1e-3 to 1e3 |
    | C | for every cut: whether it fits the memory | -1 or 1 |

    Which to take: agents of Stable-Baselines3 as they come learn in ``SFL-Bandit-v0``, ``SFL-v0`` one round at a time
    with problem rows and residual actions (docs/stock-agents.md says why); ``sfl train`` takes problem rows with
    continuous actions. Policies of one's own that are to act elsewhere, too, read the columns from A on.

    With ``csi_delay_rounds`` above 0, columns 0, 2 and 3 are those of an earlier round; beside them is told of links
    without small-scale fading, known by averaging. Problem rows have one more column for these, four more on batteries.

    ## Rewards

    The sum of named terms, listed in ``info["reward_terms"]``. By default there is one: minus the round's
    seconds over a fixed reference of the scenario, ``reference_latency_s``, so the undiscounted return is
    minus the total time in units of the reference. ``energy_weight``, ``dropout_weight`` and ``missed_weight`` (the
    part of a round's samples that is not in its average, for rounds with ``deadline_s``) add terms. With batteries,
    training takes from them what it draws more than waiting; a device whose share is used up has left, and costs
    ``dropout_weight / K``, by default four reference rounds, in that round and in every one up to the last.

    ## Starting State

    Devices are drawn from the scenario's population; channels and speeds start in their stationary distributions.

    ## Episode End

    Truncation after ``max_rounds`` rounds; an episode of one round terminates. Termination at ``target_accuracy`` in
    accuracy mode, and with ``learning_surrogate`` by fitted constants (``docs/tiers/time-to-accuracy.md``): the return
    is then minus the time to it. Empty batteries end nothing: rounds without anybody last ``outage_wait_s`` each.

    ## Accuracy mode

    With ``mode="accuracy"`` every step also trains the network for one round of split federated learning, with the
    devices' cuts, on real data. Devices that miss ``deadline_s`` or have left are left out of the average.
    ``docs/accuracy.md`` tells how, and what the data sets need. :meth:`weights` gives what has been trained;
    :meth:`state_dict` and :meth:`load_state_dict` carry a run over a break.

    ## Information

    | key | shape | meaning | before the first round |
    |---|---|---|---|
    | ``latency_s`` | | length of the round | NaN |
    | ``device_latency_s`` | (K,) | each device's seconds | NaN |
    | ``phase_latency_s`` | (K, 7) | of these, model download, device forward, smashed upload, server compute, gradient download, device backward, model upload | NaN |
    | ``cut`` | (K,) | index of the cut taken, from 0 | -1 |
    | ``cut_limited`` | (K,) | whether a deeper cut was asked for than fits | False |
    | ``bandwidth_share`` | (K,) | share of the band | NaN |
    | ``energy_j`` | (K,) | each device's energy | NaN |
    | ``takes_part`` | (K,) | whether the device is in the round's average: reached, charged and in time | False |
    | ``accuracy``, ``loss``, ``elapsed_s`` | | in accuracy mode: of the global model on the test set after the round, and the time so far | of the fresh model, and 0 |
    | ``learnt`` | | with ``learning_surrogate``: what has been learnt so far, of what the target typically takes | 0 |
    | ``reward_terms`` | | dictionary of the reward's terms | NaN in each |
    | ``optimal_latency_s``, ``regret_s`` | | with ``info_optimum``: the shortest possible round, and the excess over it | NaN |

    The infos of :meth:`reset` have the same keys, so that loggers and vector environments meet one layout. NaN says
    that no round has taken place: it goes into no mean unnoticed, as 0 would.

    ## Arguments

    Parameters
    ----------
    render_mode : {None, "rgb_array", "human"}
        How :meth:`render` shows the last round.
    action_mode : {"continuous", "residual", "cut", "discrete"}
        The action space.
    observation_mode : {"devices", "problem"}
        What observations tell.
    info_optimum : bool
        Adds the optimum of every round to the infos, at the price of solving it. Not with
        ``barriers``, ``schedule="sequence"`` or ``deadline_s``, whose rounds have another optimum.
    scenario : Scenario, optional
        The system; fields given as keywords override it.
    preset : mapping, optional
        Fields that a registered id stands for; its registration fills it in.
    profile, channel, population, availability, observation, action, reward
        Objects that replace single parts, each tried once; see ``docs/extending.md``.
    learner
        In accuracy mode: an object that trains in the package's place, a :class:`~sfl_env.learning.Learner`.
    network, data, torch_device, executor
        In accuracy mode: a function that returns the network, a :class:`~sfl_env.learning.TensorData`, where
        to train, and how; see :class:`~sfl_env.learning.scenario.ScenarioLearner`.
    **fields
        Fields of :class:`~sfl_env.scenario.Scenario`, such as ``num_devices``, ``model``, ``bandwidth_hz``;
        ``docs/scenario.md`` lists them all.

    Raises
    ------
    ScenarioError
        For an unknown field or argument, a value out of range, a part beside a field that it replaces, or a part
        that is not what its protocol says.
    ProfileError
        If the network's profile is broken, or a network of one's own cannot be measured.
    DataError, TrainingError
        In accuracy mode, for data that are not there or too few, and for what cannot be trained.

    ## Version History

    * v0: initial version

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> env = gym.make("SFL-v0", num_devices=30, model="resnet18", bandwidth_hz=50e6)
    >>> observation, info = env.reset(seed=0)
    >>> observation.shape
    (30, 10)
    >>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    >>> bool(info["latency_s"] == info["device_latency_s"].max())
    True
    """

    # Gymnasium declares it on the class without ClassVar.
    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 2}  # noqa: RUF012

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        self.episodes = Episodes(1, **options)
        num_devices = self.episodes.scenario.num_devices
        self.observation_space = self.episodes.observation_encoder.space(num_devices)
        self.action_space = self.episodes.action_encoder.space(num_devices)
        self.render_mode = render_mode
        self._screen = screen(render_mode)
        self._last_info: dict[str, Any] | None = None
        self._can_fail = self.episodes.can_fail or render_mode == "human"

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode; see :class:`gymnasium.Env`. One that cannot start leaves all as it was."""
        with AllOrNothing(self, "_last_info"):
            super().reset(seed=seed)
            observation = self.episodes.reset(self.np_random)[0]
            self._last_info = None
            if self.render_mode == "human":
                self.render()
            return observation, _first(self.episodes.start_infos(1) | self.episodes.learning_infos())

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Carry out one round; see :class:`gymnasium.Env`. One that fails is as if it had not been asked for."""
        if self._can_fail:
            with AllOrNothing(self, "_last_info"):
                return self._step(action)
        return self._step(action)

    def _step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        done = self.episodes.step(as_array(action, "action")[None], self.np_random)
        info = self._last_info = _first(done.infos)
        if self.render_mode == "human":
            self.render()
        return (
            done.observation[0],
            float(done.reward.item()),
            done.terminated.item(),
            done.truncated.item(),
            info,
        )

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which options of the coming round's action make sense, as sb3-contrib's ``MaskablePPO`` asks.

        With ``action_mode="cut"`` or ``"discrete"``. Cuts that do not fit a device's memory are masked, and of a
        device that takes no part all options but the first.

        Returns
        -------
        (M,) boolean array
            For every entry of the ``MultiDiscrete`` action its options, one after another.

        Raises
        ------
        ScenarioError
            If the actions are continuous.
        StateError
            Before the first :meth:`reset`.

        Examples
        --------
        >>> import gymnasium as gym, sfl_env
        >>> env = gym.make("SFL-v0", action_mode="cut")
        >>> observation, info = env.reset(seed=0)
        >>> bool(env.unwrapped.action_masks().size == env.action_space.nvec.sum())
        True
        """
        masks: NDArray[np.bool_] = action_masks(self.episodes)[0]
        return masks

    def weights(self) -> Any:
        """Return the weights of the network that is trained, for ``load_state_dict`` of a network of your own.

        In accuracy mode, between two rounds; through Gymnasium's wrappers as ``env.unwrapped.weights()``, and of each
        environment of a vector as ``envs.call("weights")``. They are copies, by the names of the network's own
        ``state_dict``. A learner of your own gives what its method ``weights()`` returns.

        Raises
        ------
        StateError
            In latency mode, before the first :meth:`reset`, or where a learner of your own has no such method.

        Examples
        --------
        >>> import gymnasium as gym, sfl_env
        >>> from sfl_env.dnn.networks import build
        >>> env = gym.make("SFL-v0", mode="accuracy", num_devices=4)
        >>> observation, info = env.reset(seed=0)
        >>> build("digits-cnn").load_state_dict(env.unwrapped.weights())
        <All keys matched successfully>
        """
        return self.episodes.weights()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next round depends on: simulator, weights, generators.

        It holds plain values and, in accuracy mode, tensors: ``torch.save`` writes it, and ``torch.load`` reads it
        with ``weights_only=True``; in latency mode JSON does, too. Where wrappers keep something of their own,
        that is theirs to store.

        Raises
        ------
        StateError
            Before the first :meth:`reset`.
        """
        return {"rng": self.np_random.bit_generator.state, "episodes": self.episodes.state_dict()}

    def load_state_dict(self, stored: Mapping[str, Any]) -> NDArray[np.float32]:
        """Go on from a stored state, in an environment made with the same arguments, and return the observation.

        The rounds that follow are those that would have followed without the break. Gymnasium's wrappers want a
        ``reset()`` before the first step all the same: call it first, then this method of ``env.unwrapped``.

        All of it or nothing: whatever is raised, the episode stays where it was.

        Raises
        ------
        StateError
            If the state is of another scenario or of other parts, or if an entry is missing, foreign or impossible.
        TrainingError
            If the network's part of it is.
        """
        stored = require_entries(stored, ("rng", "episodes"), "state")
        generator = restored_generator(stored["rng"])
        observations = self.episodes.load_state_dict(stored["episodes"])
        self.np_random = generator
        self._last_info = None
        first: NDArray[np.float32] = observations[0]
        return first

    def render(self) -> Frame | None:
        """Show the last round as a timeline.

        Returns
        -------
        (540, 960, 3) array or None
            The picture in render mode ``"rgb_array"``. Render mode ``"human"`` shows it in a window after
            every round, and warns once where none can be opened.
        """
        if self._screen is None:
            return None
        return self._screen.show(picture_of(self.episodes, self._last_info))

    def close(self) -> None:
        """Close the window of render mode ``"human"``."""
        if self._screen is not None:
            self._screen.close()


def _first(infos: dict[str, Any]) -> dict[str, Any]:
    """Return the infos of the only environment."""
    terms: dict[str, Any] = infos.pop("reward_terms")
    # In place: the dictionaries are this round's own.
    for part in (infos, terms):
        for name, values in part.items():
            part[name] = values[0]
    infos["reward_terms"] = terms
    return infos
