"""What users ask of an environment besides Gymnasium's interface."""

from sfl_env.dnn.profile import DNNProfile
from sfl_env.episodes.running import Episodes
from sfl_env.rounds.problem import RoundProblem
from sfl_env.scenario import Scenario


class ProblemAccess:
    """What both environments show of their episodes besides Gymnasium's interface."""

    episodes: Episodes

    @property
    def scenario(self) -> Scenario:
        """The scenario that is simulated."""
        return self.episodes.scenario

    @property
    def profile(self) -> DNNProfile:
        """The network's costs at each cut."""
        return self.episodes.simulator.profile

    def observed_problem(self) -> RoundProblem:
        """Return the coming round's joint problem as far as it is observed."""
        return self.episodes.observed_problem()

    def true_problem(self) -> RoundProblem:
        """Return the coming round's joint problem under the true conditions."""
        return self.episodes.true_problem()
