"""Our solvers beside general ones, on the same instances: ``python -m speed.solvers``.

Needs the dependency group ``speed``. Every general solver's objective is compared with ours before its time
counts.
"""

import argparse
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cvxpy as cp
import gymnasium as gym
import numpy as np
import pyscipopt
import torch
from scipy.optimize import minimize
from stable_baselines3 import PPO

import sfl_env  # noqa: F401  (registers its ids)
from sfl_baselines.alternating import solve_alternating
from sfl_env.dnn.catalogue import load
from sfl_env.optimum import allocate_bandwidth, solve_exact
from sfl_env.rounds.curves import TruncatedShannon
from sfl_env.rounds.problem import RoundProblem
from sfl_env.rounds.radio import Downlink
from speed.timing import Case, Row, as_text, measure

AGREEMENT = 1e-6
"""Relative difference that the objectives of two solvers may have."""

NOISE_W_PER_HZ = 10.0**-20.4
"""Thermal noise, -174 dBm/Hz."""

Table = dict[str, Any]


def realistic_problems(n: int, num_devices: int, network: str, seed: int, num_cuts: int) -> RoundProblem:
    """Rounds as the field has them: a real network, 1-300 GFLOP/s devices, a 10 MHz macro cell of 500 m.

    The network's cuts are thinned or repeated evenly to ``num_cuts``.
    """
    rng = np.random.default_rng(seed)
    profile = load(network)
    picked = np.linspace(0, profile.num_cuts - 1, num_cuts).round().astype(int)
    samples = rng.choice([64.0, 128.0, 320.0, 640.0], (n, 1, 1))
    flops_per_s = np.exp(rng.uniform(np.log(1e9), np.log(3e11), (n, num_devices, 1)))
    distance_km = 0.5 * np.sqrt(rng.uniform(0.01, 1.0, (n, num_devices)))
    gain = 10.0 ** (-(128.1 + 37.6 * np.log10(distance_km)) / 10.0) * rng.exponential(size=distance_km.shape)
    power_w = rng.uniform(0.1, 0.2, distance_km.shape)
    device = (profile.device_forward_flops + 2.0 * profile.device_backward_flops)[picked]
    server = (profile.server_forward_flops + profile.server_backward_flops)[picked]
    smashed = profile.smashed_elements[picked] * 32.0
    weights = (profile.device_parameters + profile.device_buffers)[picked] * 32.0
    bits = np.broadcast_to(samples * smashed + weights, (n, num_devices, num_cuts))
    return RoundProblem(
        fixed_s=samples * (device / flops_per_s + server / (1e13 / num_devices)),
        uplink_bits=bits,
        downlink_bits=bits,
        uplink_snr_hz=power_w * gain / NOISE_W_PER_HZ,
        downlink_full_rate_bps=Downlink(10e6, 10.0, NOISE_W_PER_HZ).full_rate_bps(gain),
        uplink_bandwidth_hz=np.full(n, 10e6),
    )


def without_downlink(problem: RoundProblem) -> RoundProblem:
    """Leave the downlink out, as solvers that know only cones of exponentials like it."""
    return RoundProblem(
        problem.fixed_s,
        problem.uplink_bits,
        problem.downlink_bits,
        problem.uplink_snr_hz,
        np.full(problem.shape[:2], np.inf),
        problem.uplink_bandwidth_hz,
    )


def slsqp_s(problem: RoundProblem, cut: np.ndarray) -> float:
    """Split the band of one round by sequential quadratic programming, with exact gradients."""
    k = problem.shape[1]
    fixed, up, down, _ = (table[0] for table in problem.at_cut(cut))
    snr = problem.uplink_snr_hz[0] / problem.uplink_bandwidth_hz[0]
    up_s = up * np.log(2.0) / problem.uplink_bandwidth_hz[0]
    down_s = down / problem.downlink_full_rate_bps[0]

    def times(share: np.ndarray) -> np.ndarray:
        return np.asarray(fixed + up_s / (share * np.log1p(snr / share)) + down_s / share)

    scale = times(np.full(k, 1.0 / k)).max()

    def slack(v: np.ndarray) -> np.ndarray:
        return np.asarray(v[-1] - times(v[:-1]) / scale)

    def slack_gradient(v: np.ndarray) -> np.ndarray:
        share = v[:-1]
        log = np.log1p(snr / share)
        sent = up_s / (share * log)
        elasticity = 1.0 - snr / ((share + snr) * log)
        return np.column_stack([np.diag((sent * elasticity + down_s / share) / share) / scale, np.ones(k)])

    ones = np.append(np.ones(k), 0.0)
    last = np.append(np.zeros(k), 1.0)

    def length(v: np.ndarray) -> float:
        return float(v[-1])

    settings: dict[str, Any] = {
        "jac": lambda v: last,
        "method": "SLSQP",
        "bounds": [(1e-7, 1.0)] * k + [(0.0, None)],
        "constraints": [
            {"type": "eq", "fun": lambda v: v[:-1].sum() - 1.0, "jac": lambda v: ones},
            {"type": "ineq", "fun": slack, "jac": slack_gradient},
        ],
        "options": {"ftol": 1e-12, "maxiter": 300},
    }
    found: Any = minimize(length, np.append(np.full(k, 1.0 / k), 1.0), **settings)
    return float(times(np.maximum(found.x[:-1], 1e-12) / found.x[:-1].sum()).max())


class Clarabel:
    """Split the band of one round as a conic program, without downlink.

    With s the share, s log(1 + snr / s) is minus the relative entropy of s to s + snr. The program is built
    once; only solving it counts.
    """

    def __init__(self, problem: RoundProblem, cut: np.ndarray) -> None:
        k = problem.shape[1]
        fixed, up, _, _ = (table[0] for table in problem.at_cut(cut))
        snr = problem.uplink_snr_hz[0] / problem.uplink_bandwidth_hz[0]
        scale_s = allocate_bandwidth(problem, cut).latency_s[0]
        share, length = cp.Variable(k, pos=True), cp.Variable(pos=True)
        # r is at most the rate; what a device sends takes a time of a / r, which is convex.
        rate = cp.Variable(k, pos=True)
        sent_s = up * np.log(2.0) / problem.uplink_bandwidth_hz[0] / scale_s
        self.program = cp.Problem(
            cp.Minimize(length),
            [
                cp.sum(share) <= 1.0,
                cp.rel_entr(share, share + snr) <= -rate,
                fixed / scale_s + cp.multiply(sent_s, cp.inv_pos(rate)) <= length,
            ],
        )
        self.scale_s = scale_s

    def solve_s(self) -> float:
        """Solve once and return the round's length."""
        self.program.solve(solver=cp.CLARABEL, warm_start=False)
        return float(self.program.value * self.scale_s)


class ScipResult(NamedTuple):
    """What SCIP made of one round's joint problem."""

    latency_s: float
    """The best round found; infinite where none was."""

    bound_s: float
    """No round is shorter, SCIP has proven."""

    finished: bool
    """Whether both agree, as opposed to the time limit having come first."""

    seconds: float
    """Processor time."""


def scip(problem: RoundProblem, time_limit_s: float) -> ScipResult:
    """Solve one round's joint problem by spatial branch and bound."""
    reference_s = float(solve_alternating(problem, max_iterations=1).latency_s[0])
    model = pyscipopt.Model()
    model.hideOutput()
    model.setParam("timing/clocktype", 1)  # processor time
    model.setParam("limits/time", time_limit_s)
    model.setParam("limits/gap", 1e-7)
    model.setParam("numerics/feastol", 1e-7)
    length = model.addVar("T", lb=0.0, ub=1.0)
    shares = [model.addVar(f"s{i}", lb=1e-6, ub=1.0) for i in range(problem.shape[1])]
    model.addCons(pyscipopt.quicksum(shares) <= 1.0)
    for device, share in enumerate(shares):
        _add_device(model, problem, device, share, length, reference_s)
    model.setObjective(length, "minimize")
    begin = time.process_time()
    model.optimize()
    seconds = time.process_time() - begin
    best = model.getObjVal() * reference_s if model.getNSols() else np.inf
    finished = model.getStatus() in ("optimal", "gaplimit")
    return ScipResult(best, model.getDualbound() * reference_s, finished, seconds)


def _add_device(
    model: Any, problem: RoundProblem, device: int, share: Any, length: Any, reference_s: float
) -> None:
    """Say that a device takes one of its cuts and finishes within the round; times are over the reference."""
    num_cuts = problem.shape[2]
    takes = [model.addVar(f"z{device},{cut}", vtype="B") for cut in range(num_cuts)]
    model.addCons(pyscipopt.quicksum(takes) == 1)

    def at_cut(costs: np.ndarray) -> Any:
        return pyscipopt.quicksum(float(costs[cut] / reference_s) * takes[cut] for cut in range(num_cuts))

    bandwidth_hz = problem.uplink_bandwidth_hz[0]
    snr = float(problem.uplink_snr_hz[0, device] / bandwidth_hz)
    sent = at_cut(problem.uplink_bits[0, device] * (np.log(2.0) / bandwidth_hz))
    left = length - at_cut(problem.fixed_s[0, device])
    rate = model.addVar(f"r{device}", lb=0.0, ub=float(np.log1p(snr)))
    model.addCons(rate <= share * pyscipopt.log(1.0 + snr / share))
    full_rate_bps = problem.downlink_full_rate_bps[0, device]
    if np.isfinite(full_rate_bps):
        down = model.addVar(f"d{device}", lb=0.0, ub=1.0)
        model.addCons(at_cut(problem.downlink_bits[0, device] / full_rate_bps) <= down * share)
        left = left - down
    model.addCons(sent <= left * rate)


def in_turn(problem: RoundProblem, call: Any) -> Any:
    """Return a call that solves another of the rounds alone each time, so that no cache knows it."""
    ones = [problem.rows(slice(i, i + 1)) for i in range(min(problem.shape[0], 64))]
    state = {"next": 0}

    def solve_next() -> object:
        state["next"] = (state["next"] + 1) % len(ones)
        return call(ones[state["next"]])

    return solve_next


def fast_rows(rounds: int) -> list[Row]:
    """Time what takes milliseconds at most, K = 10 devices and C = 14 cuts of ResNet-34, alone and in batches."""
    torch.set_num_threads(1)
    problem = realistic_problems(1024, 10, "resnet34", seed=0, num_cuts=14)
    capped = replace(problem, uplink_curve=TruncatedShannon())
    fading = replace(capped, rician_k=np.where(np.arange(problem.shape[1]) % 2, 8.0, 0.0) + np.zeros((1024, 1)))
    cut = solve_exact(problem).decision.cut
    env = gym.make("SFL-v0", num_devices=problem.shape[1])
    agent = PPO("MlpPolicy", env, device="cpu")
    observation, _ = env.reset(seed=0)
    first, first_cut = problem.rows(slice(0, 1)), cut[:1]
    uplink = without_downlink(first)
    conic = Clarabel(uplink, first_cut)
    _agree("SLSQP", slsqp_s(first, first_cut), allocate_bandwidth(first, first_cut).latency_s[0])
    _agree("Clarabel", conic.solve_s(), allocate_bandwidth(uplink, first_cut).latency_s[0])
    cases = {
        "exact, one problem": Case(in_turn(problem, solve_exact), unit="problem"),
        "exact, 1024 at once": Case(lambda: solve_exact(problem), 1024, "problem"),
        "exact, truncated Shannon, one problem": Case(in_turn(capped, solve_exact), unit="problem"),
        "exact, truncated Shannon, 1024 at once": Case(lambda: solve_exact(capped), 1024, "problem"),
        "exact, truncated Shannon and fading, 1024 at once": Case(lambda: solve_exact(fading), 1024, "problem"),
        "alternating, one problem": Case(in_turn(problem, solve_alternating), unit="problem"),
        "alternating, 1024 at once": Case(lambda: solve_alternating(problem), 1024, "problem"),
        "band alone, one problem": Case(lambda: allocate_bandwidth(first, first_cut), unit="problem"),
        "band alone, 1024 at once": Case(lambda: allocate_bandwidth(problem, cut), 1024, "problem"),
        "SB3 predict, one observation": Case(lambda: agent.predict(observation), unit="observation"),
        "SLSQP, band alone": Case(lambda: slsqp_s(first, first_cut), unit="problem"),
        "CVXPY/Clarabel, band alone, no downlink": Case(conic.solve_s, unit="problem"),
    }
    return measure(cases, "exact, one problem", rounds)


def growth_rows(rounds: int) -> list[Row]:
    """Time how the exact solver's cost grows with the number of rounds, devices and cuts."""
    cases: dict[str, Case] = {}
    for n, k, c in (
        (1, 10, 14),
        (16, 10, 14),
        (256, 10, 14),
        (4096, 10, 14),
        (256, 30, 14),
        (256, 100, 14),
        (256, 10, 50),
    ):
        problem = realistic_problems(n, k, "resnet34", seed=1, num_cuts=c)
        cases[f"exact, N = {n}, K = {k}, C = {c}"] = Case(partial(solve_exact, problem), n, "problem")
    return measure(cases, next(iter(cases)), rounds)


def scip_table(time_limit_s: float) -> list[Table]:
    """Compare with SCIP on the joint problem, once each: it takes seconds to minutes."""
    rows = []
    for k, c in ((2, 3), (3, 4), (4, 6), (6, 8), (8, 10), (10, 12)):
        problem = realistic_problems(1, k, "resnet18", seed=2, num_cuts=c)
        ours_s = float(solve_exact(problem).latency_s[0])
        (timed,) = measure({"exact": Case(partial(solve_exact, problem), unit="problem")}, "exact")
        theirs = scip(problem, time_limit_s)
        if theirs.finished:
            _agree(f"SCIP, K = {k}", theirs.latency_s, ours_s)
        rows.append(
            {
                "devices": k,
                "cuts": c,
                "exact_latency_s": ours_s,
                "scip_latency_s": theirs.latency_s if np.isfinite(theirs.latency_s) else None,
                "scip_bound_s": theirs.bound_s,
                "scip_finished": theirs.finished,
                "exact_time_s": timed.median_s,
                "scip_time_s": theirs.seconds,
                "ratio": theirs.seconds / timed.median_s,
            }
        )
    return rows


def scip_text(rows: list[Table]) -> str:
    """Lay the comparison with SCIP out for the terminal."""
    lines = []
    for row in rows:
        found = "no round found" if row["scip_latency_s"] is None else f"{row['scip_latency_s']:.9g} s"
        state = "optimal" if row["scip_finished"] else f"stopped, bound {row['scip_bound_s']:.6g} s"
        lines.append(
            f"K = {row['devices']}, C = {row['cuts']}: SCIP {found} ({state}) in {row['scip_time_s']:.3g} s; "
            f"exact {row['exact_latency_s']:.9g} s in {row['exact_time_s']:.3g} s; ratio {row['ratio']:.3g}"
        )
    return "\n".join(lines)


def _agree(name: str, theirs_s: float, ours_s: float) -> None:
    if not abs(theirs_s - ours_s) <= AGREEMENT * ours_s:
        raise RuntimeError(
            f"{name} found {theirs_s!r} s, ours is {ours_s!r} s: they do not solve the same problem."
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns that each case gets")
    parser.add_argument("--scip-limit", type=float, default=60.0, help="seconds that SCIP may take for a problem")
    parser.add_argument("--out", type=Path, help="file for the results as JSON")
    arguments = parser.parse_args()
    fast, growth = fast_rows(arguments.rounds), growth_rows(arguments.rounds)
    print(as_text(fast), as_text(growth), sep="\n\n", end="\n\n")
    joint = scip_table(arguments.scip_limit)
    print(scip_text(joint))
    if arguments.out:
        results = {"fast": [r.to_dict() for r in fast], "growth": [r.to_dict() for r in growth], "scip": joint}
        arguments.out.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
