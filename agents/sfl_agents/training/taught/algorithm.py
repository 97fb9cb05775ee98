"""A training loop for policies that are told what a good decision is, in the form of an algorithm."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from sfl_agents.policies.cut_pointer import CutPointerPolicy
from sfl_agents.policies.pointer_network import Pointer
from sfl_agents.training.taught.lessons import Lesson


class Taught(BaseAlgorithm):
    """Play rounds by the policy's own decisions and take one gradient step on what each round's lesson says.

    Parameters
    ----------
    policy : type of CutPointerPolicy
        What is taught.
    env : VecEnv, optional
        Where; :meth:`teach_in` adds others.
    learning_rate : float or callable
        Of Adam.
    n_steps : int
        Gradient steps, each on a round of all environments of one lesson, between two looks at the agent.
    max_grad_norm : float
        The gradient is cut to this length.
    stats_window_size : int
        Episodes that logged means are over.
    policy_kwargs, verbose, seed, device, tensorboard_log, _init_setup_model
        As for Stable-Baselines3's algorithms.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"CutPointerPolicy": CutPointerPolicy}
    policy: CutPointerPolicy

    def __init__(
        self,
        policy: type[CutPointerPolicy] | str,
        env: GymEnv | None,
        learning_rate: float | Schedule = 5e-3,
        n_steps: int = 16,
        max_grad_norm: float = 1.0,
        stats_window_size: int = 100,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "cpu",
        tensorboard_log: str | None = None,
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate,
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            seed=seed,
            device=device,
            support_multi_env=True,
        )
        self.n_steps, self.max_grad_norm = n_steps, max_grad_norm
        self.lessons: list[Lesson] = [] if self.env is None else [Lesson(self.env)]
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        policy = self.policy_class(
            self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
        ).to(self.device)
        assert isinstance(policy, CutPointerPolicy)
        self.policy = policy

    def teach_in(self, others: Sequence[VecEnv]) -> None:
        """Take turns among these environments, too, as many as there are in the first."""
        self.lessons.extend(Lesson(env) for env in others)

    @abstractmethod
    def loss(self, pointer: Pointer, lesson: Lesson) -> Tensor:
        """Return what is to be made small, for what the policy points at in a lesson's present round."""

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "taught",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Teach the policy; see :meth:`stable_baselines3.common.base_class.BaseAlgorithm.learn`."""
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start(locals(), globals())
        going_on = True
        while going_on and self.num_timesteps < total_timesteps:
            callback.on_rollout_start()
            for _ in range(self.n_steps):
                infos = self._take_lesson(self._n_updates % len(self.lessons), total_timesteps)
                self._update_info_buffer(infos)
                self.num_timesteps += self.n_envs
                callback.update_locals(locals())
                going_on = callback.on_step()
                if not going_on:
                    break
            callback.on_rollout_end()
        callback.on_training_end()
        return self

    def _take_lesson(self, which: int, total_timesteps: int) -> list[dict[str, Any]]:
        lesson = self.lessons[which].start()
        self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
        self._update_learning_rate(self.policy.optimizer)
        assert lesson.observation is not None
        rows = torch.as_tensor(lesson.observation)
        pointer = self.policy.point(rows, lesson.num_cuts, late_channel=lesson.late_channel)
        loss = self.loss(pointer, lesson)
        self.policy.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        self._n_updates += 1
        self.logger.record("train/loss", loss.item())
        return lesson.act(pointer)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []


def cut_loss(pointer: Pointer, cut: NDArray[np.intp], counts: NDArray[np.bool_]) -> Tensor:
    """Return the mean cross-entropy of the logits to cuts (N, K), over the devices that count."""
    told = nn.functional.cross_entropy(
        pointer.logits.flatten(end_dim=1), torch.as_tensor(cut).flatten(), reduction="none"
    )
    weight = torch.as_tensor(counts).flatten().to(told.dtype)
    return (told * weight).sum() / weight.sum().clamp_min(1.0)
