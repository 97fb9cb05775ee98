"""Learning from the solver's answers."""

import numpy as np
import torch
from torch import Tensor

from sfl_agents.policies.pointer_network import Pointer
from sfl_agents.training.taught.algorithm import Taught, cut_loss
from sfl_agents.training.taught.lessons import Lesson, chosen_log_share
from sfl_env.rounds.radio import SMALLEST_SHARE

_CUTS = 0.05
"""Weight of the cuts beside that of the shares."""


class Imitation(Taught):
    """Imitate :func:`~sfl_env.optimum.joint.solve_exact`: its cuts by cross-entropy, its log-shares by regression.

    A share's error counts as much as it moves the device's time, relative to the round; where the solver gives no
    band, no share is asked for. Parameters are those of :class:`~.algorithm.Taught`.
    """

    def loss(self, pointer: Pointer, lesson: Lesson) -> Tensor:
        """Return the weighted squared error of log-shares at the solver's cuts, and the cuts' cross-entropy."""
        solution, devices = lesson.solution(), lesson.devices()
        cut, share = solution.decision
        held = share > 0.0
        there = devices.evaluate(np.where(held, share, 1.0))
        weight = held * devices.slope_s(there) / np.maximum(solution.latency_s, SMALLEST_SHARE)[:, None]
        wanted = torch.as_tensor(np.log(np.where(held, share, 1.0)), dtype=torch.float32)
        error = chosen_log_share(pointer, torch.as_tensor(cut)) - wanted
        shares = 0.5 * (torch.as_tensor(weight, dtype=torch.float32) * error).square().sum(dim=-1).mean()
        return shares + _CUTS * cut_loss(pointer, cut, held)
