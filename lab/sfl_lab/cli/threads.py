"""How many threads torch may use."""

from sfl_env.checks import require_whole
from sfl_env.errors import RunError

_MOST_THREADS = 1024


def use_threads(threads: int) -> None:
    """Set torch's threads.

    Raises
    ------
    RunError
        If the number is out of its range.
    """
    require_whole("--threads", threads, 1, _MOST_THREADS, RunError)

    import torch

    torch.set_num_threads(threads)
