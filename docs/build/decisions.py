"""What decisions lose that are made with a model of layer times: for docs/build/measurement.py."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

import sfl_env
from sfl_env.optimum import allocate_bandwidth, solve_exact
from sfl_env.rounds.latency import round_problem
from sfl_env.rounds.problem import ARRAYS
from sfl_env.scenario import Scenario
from sfl_env.simulation.simulator import Simulator

sys.path.insert(0, str(Path(__file__).parent))
from layer_model import FORMS, Array, Form, Machine, predicted, short
from layer_times import BATCH, INPUT, NETWORKS

CELLS, DEVICES, SLOWEST = 300, 10, 16.0
"""Cells in which decisions are compared, devices in each, and how much slower than the machine the slowest is."""

BOTH = tuple(NETWORKS)


class Loss(NamedTuple):
    """By what share rounds are longer than the best ones, (CELLS,) each."""

    whole: Array  # with cuts and shares from the model
    cuts: Array  # with its cuts, and the band split for the measured times
    shares: Array  # with the best cuts, and the band split for the model's times


class Rounds:
    """Rounds of one network in random cells, whose devices are slower machines of one kind."""

    def __init__(self, machine: Machine, network: str) -> None:
        scenario = Scenario(num_devices=DEVICES, batch_size=BATCH, local_iterations=1)
        simulator = Simulator(scenario, profile=sfl_env.profile(NETWORKS[network](), INPUT, network))
        rng = np.random.default_rng(0)
        now = simulator.conditions(simulator.initial(rng, CELLS))
        self._slower = SLOWEST ** rng.random((CELLS, DEVICES, 1))
        endless = np.full((CELLS, DEVICES), np.inf)  # what the devices compute is put in by problem()
        now = now._replace(
            forward_flops_per_s=endless,
            forward_bytes_per_s=endless,
            backward_flops_per_s=endless,
            backward_bytes_per_s=endless,
            deepest_cut=np.full((CELLS, DEVICES), simulator.workload.num_cuts - 1),
        )
        self._without = round_problem(simulator.workload, simulator.resources, now)
        self._true = self.problem(machine.seconds[network].sum(axis=0))
        self._best = solve_exact(self._true)

    def problem(self, block_s: Array) -> sfl_env.RoundProblem:
        """Return the rounds in which blocks take so long on the fastest device, (C,)."""
        arrays = {name: getattr(self._without, name) for name in ARRAYS}
        fixed_s = self._without.fixed_s + self._slower * np.cumsum(block_s)
        return sfl_env.RoundProblem(**arrays | {"fixed_s": fixed_s})

    def whole_loss(self, block_s: Array) -> Array:
        """Return the loss of decisions made with these times, (CELLS,)."""
        return self._later(self._true.latency_s(solve_exact(self.problem(block_s)).decision))

    def loss(self, block_s: Array) -> Loss:
        """Return what decisions lose that are made with these times."""
        believed = self.problem(block_s)
        decision = solve_exact(believed).decision
        shares = allocate_bandwidth(believed, self._best.decision.cut).decision
        return Loss(
            self._later(self._true.latency_s(decision)),
            self._later(allocate_bandwidth(self._true, decision.cut).latency_s),
            self._later(self._true.latency_s(shares)),
        )

    def _later(self, latency_s: Array) -> Array:
        later: Array = latency_s / self._best.latency_s - 1.0
        return later


def block_seconds(machine: Machine, network: str, form: Form, speeds: Array) -> Array:
    """Return both passes' seconds in each block, (C,), for speeds (2, 2)."""
    seconds: Array = np.sum([predicted(form, speeds[i], machine.blocks[network], i) for i in range(2)], axis=0)
    return seconds


def least_loss(machine: Machine, form: Form, rounds: Mapping[str, Rounds]) -> Array:
    """Return the speeds (2, 2) that a search for the least loss finds: the larger mean of the networks'.

    What a form of the model can reach at all. The search starts from the form's fit, and from slower speeds.
    """

    def largest(log_speeds: Array) -> float:
        speeds = np.exp(log_speeds).reshape(2, 2)
        return max(
            float(each.whole_loss(block_seconds(machine, network, form, speeds)).mean())
            for network, each in rounds.items()
        )

    start = np.log(machine.fit(form, BOTH)).ravel()
    options = {"maxiter": 250}
    found = [minimize(largest, start + by, method="Nelder-Mead", options=options) for by in (0.0, 0.3)]
    speeds: Array = np.exp(min(found, key=lambda each: each.fun).x).reshape(2, 2)
    return speeds


def compared(machine: Machine) -> list[dict[str, Any]]:
    """Return for networks, forms and what each is fitted on what decisions lose: mean and 95th percentile."""
    rounds = {network: Rounds(machine, network) for network in BOTH}
    sought = (("sum", BOTH), ("sum", ("vgg19",)), ("touched", BOTH))
    least = [
        (
            key,
            [f"the loss of {' and '.join(on)}"],
            least_loss(machine, FORMS[key], {each: rounds[each] for each in on}),
        )
        for key, on in sought
    ]
    rows = []
    for network in BOTH:
        other = tuple(each for each in BOTH if each != network)
        choices: list[tuple[str, Sequence[str]]] = [("flops", BOTH), ("sum", BOTH), ("sum", (network,))]
        choices += [
            ("sum", other),
            ("weights", BOTH),
            ("touched", BOTH),
            ("touched", (network,)),
            ("touched", other),
        ]
        cases = [(key, list(on), machine.fit(FORMS[key], on)) for key, on in choices]
        for key, on, speeds in cases + least:
            block_s = block_seconds(machine, network, FORMS[key], speeds)
            whole_pass = block_s.sum() / machine.seconds[network].sum()
            parts = {
                name: short([part.mean(), np.quantile(part, 0.95)])
                for name, part in rounds[network].loss(block_s)._asdict().items()
            }
            rows.append({"network": network, "form": key, "on": on, **parts, "both passes": short([whole_pass])})
    return rows


def parts_of_loss(rows: Sequence[dict[str, Any]]) -> str:
    """Return sentences on what the loss of the model consists of."""
    told = []
    for network in BOTH:
        row = next(r for r in rows if (r["network"], r["form"], r["on"]) == (network, "sum", list(BOTH)))
        whole, cuts, shares = (100.0 * row[name][0] for name in Loss._fields)
        wrong = cuts / whole
        wrong = 100.0 * cuts / whole
        told.append(
            f"With the sum fitted on both networks, {network} loses {whole:.2f} %: {wrong:.0f} % of that are cuts "
            f"that are not the best ones, {100.0 - wrong:.0f} % a band that is out of balance with what devices "
            f"compute. With the best cuts the same times still lose {shares:.2f} %."
        )
    return " ".join(told)
