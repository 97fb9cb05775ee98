"""Errors that a user's input can cause; the command line shows their message without a traceback."""


class SFLError(ValueError):
    """Base of every error that sfl-env raises for a user's input."""


class ScenarioError(SFLError):
    """A scenario field is unknown, of the wrong type or out of range."""


class DecisionError(SFLError):
    """An action or a decision is misshapen, not finite, out of its space or infeasible."""


class StateError(SFLError):
    """There is no episode yet, or a stored state does not fit the environment or cannot be."""


class ProblemError(SFLError):
    """The arrays of a round problem do not fit together or hold impossible values."""


class ProfileError(SFLError):
    """A network cannot be profiled, or a stored profile is broken."""


class RenderError(SFLError):
    """A render mode is unknown."""


class DataError(SFLError):
    """A data set or its partition over devices is missing, malformed or too small."""


class TrainingError(SFLError):
    """Training cannot start as configured, or its numbers stopped being finite."""


class MisfitError(TrainingError):
    """The network does not take the data, has no cut for it, or its output does not fit the data's classes."""


class PolicyError(SFLError):
    """A policy is unknown, or cannot act in the environment it was given."""


class RunError(SFLError):
    """A run's folder exists already, is no run's folder, or does not fit what is asked of it."""


class SolverError(SFLError):
    """An option of a solver is out of range."""
