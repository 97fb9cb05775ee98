"""The Python that the pages on tiers show, which the tests run: each tier's solver, and the policy made of it."""

BARRIER = """## From Python

```python
import gymnasium as gym
import sfl_baselines, sfl_env
from sfl_baselines.staged import staged_bound, staged_problem_of, staged_search

env = gym.make("SFL-Barrier-v0")
observation, _ = env.reset(seed=0)

# The solver on the round as it is, and what no decision can beat.
episodes = env.unwrapped.episodes
problem = staged_problem_of(episodes, episodes.now.true)
found = staged_search(problem)
proven = staged_bound(problem, found.latency_s)
print(found.decision.cut, found.latency_s, proven.lower_bound_s)

# The policy on what agents observe.
action, _ = sfl_baselines.make("staged-search", env).predict(observation)
print(env.step(action)[4]["latency_s"])
```
"""

DEADLINE = """## From Python

```python
import gymnasium as gym
import sfl_baselines, sfl_env

env = gym.make("SFL-Deadline-v0")
observation, _ = env.reset(seed=0)

# The solver on the round as it is: who is to be in time, and the most samples that can be.
core = env.unwrapped
samples, deadline_s = core.episodes.now.true.samples, core.scenario.deadline_s
found = sfl_baselines.solve_selection(core.true_problem(), samples, deadline_s)
print(found.selected, found.samples, found.bound_samples)

# The policy on what agents observe.
action, _ = sfl_baselines.make("selection", env).predict(observation)
print(env.step(action)[4]["takes_part"])
```
"""

BATTERY = """## From Python

```python
import gymnasium as gym
import sfl_baselines, sfl_env
from sfl_baselines.battery import return_bound
from sfl_baselines.rollouts import play_to_the_end

envs = gym.make_vec("SFL-Battery-v0", num_envs=2)
policy = sfl_baselines.make("budget-rule", envs)
returns = sum(played.done.reward for played in play_to_the_end(policy, envs.unwrapped.episodes, seed=0))
print(returns, return_bound(envs.unwrapped.episodes, seed=0).any_policy)
```
"""

STALE_CSI = """## From Python

```python
import gymnasium as gym
import sfl_baselines, sfl_env

env = gym.make("SFL-StaleCSI-v0", info_optimum=True)
policy = sfl_baselines.make("sample-average", env)
observation, _ = env.reset(seed=0)
for _ in range(3):
    action, _ = policy.predict(observation)
    observation, *_, info = env.step(action)
    print(info["latency_s"], info["optimal_latency_s"])  # the optimum for the channel that nobody has seen
```
"""
