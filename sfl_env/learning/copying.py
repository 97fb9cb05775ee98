"""What can be pickled, said in time and by its name."""

import pickle

from sfl_env.errors import TrainingError


def check_pickles(name: str, part: object) -> None:
    """Raise unless a part that a user gave can be pickled.

    Raises
    ------
    TrainingError
        It names the part.

    Examples
    --------
    >>> check_pickles("network", print)
    >>> check_pickles("network", lambda: None)
    Traceback (most recent call last):
        ...
    sfl_env.errors.TrainingError: network cannot be pickled, ...
    """
    try:
        pickle.dumps(part)
    # Pickling runs the part's own code, and the pickler itself raises three kinds of error.
    except Exception as error:
        raise TrainingError(
            f"{name} cannot be pickled, and the training with it: {error}. Give a function from a module's top "
            "level (or functools.partial of one), no lambda and no function within a function."
        ) from error
