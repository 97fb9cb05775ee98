"""Where an environment shows its picture: nowhere, in an array of pixels, or in a window."""

from typing import Any, Protocol

import numpy as np
from gymnasium import logger
from numpy.typing import NDArray

from sfl_env.checks import nearest_name
from sfl_env.errors import RenderError
from sfl_env.render.drawing import DOTS_PER_INCH, FIGURE_SIZE_INCHES, draw_round
from sfl_env.render.picture import RoundPicture

Frame = NDArray[np.uint8]

RENDER_MODES = ("rgb_array", "human")
"""Names of the ways in which an environment can be shown."""


class Screen(Protocol):
    """Shows pictures."""

    def show(self, picture: RoundPicture) -> Frame | None:
        """Show a picture; return it if the caller is to have it."""

    def close(self) -> None:
        """Take the screen away."""


class Pixels:
    """Turns pictures into arrays of 540 x 960 pixels."""

    def show(self, picture: RoundPicture) -> Frame:
        """Return the picture as (540, 960, 3) red, green and blue."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(FIGURE_SIZE_INCHES, DOTS_PER_INCH)
        draw_round(figure, picture)
        canvas: Any = FigureCanvasAgg(figure)  # matplotlib types no method of it
        canvas.draw()
        return np.array(canvas.buffer_rgba(), dtype=np.uint8)[..., :3]

    def close(self) -> None:
        """Nothing to take away."""


class Window:
    """Shows pictures in a window of their own, which opens with the first one.

    Where none can be opened it says so once, and how to mend that, and shows nothing.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._possible = True

    def __getstate__(self) -> dict[str, Any]:
        """Keep the window to itself: a copy opens one of its own, in another process the number means nothing."""
        return {"_number": None, "_possible": self._possible}

    def show(self, picture: RoundPicture) -> None:
        """Draw the picture into the window."""
        if not self._possible:
            return
        from matplotlib import pyplot

        if self._number is None or not pyplot.fignum_exists(self._number):
            self._number = _open_window()
            self._possible = self._number is not None
            if self._number is None:
                return
        figure = pyplot.figure(self._number)
        draw_round(figure, picture)
        figure.canvas.draw_idle()
        figure.canvas.flush_events()

    def close(self) -> None:
        """Close the window."""
        if self._number is not None:
            from matplotlib import pyplot

            pyplot.close(self._number)
            self._number = None


def _open_window() -> int | None:
    """Return the number of a new figure that has a window; warn and return None where there can be none."""
    import matplotlib
    from matplotlib import pyplot
    from matplotlib.backends.registry import BackendFilter, backend_registry

    try:
        # The first figure makes matplotlib look for a backend that works here.
        figure = pyplot.figure(figsize=FIGURE_SIZE_INCHES, dpi=DOTS_PER_INCH)
    except ImportError as error:
        _warn_of_no_window(str(error))
        return None
    backend = matplotlib.get_backend()
    registry: Any = backend_registry  # matplotlib types no method of it
    if backend.lower() in registry.list_builtin(BackendFilter.NON_INTERACTIVE):
        pyplot.close(figure)
        _warn_of_no_window(f"matplotlib's backend here, {backend!r}, opens none")
        return None
    if figure.canvas.manager is not None:
        figure.canvas.manager.set_window_title("sfl-env")
    pyplot.show(block=False)
    return int(figure.number)


def _warn_of_no_window(why: str) -> None:
    logger.warn(
        f"render_mode 'human' needs a window: {why}. Rounds are not shown. Where there is no display, use "
        "render_mode='rgb_array'; where there is one, install a window toolkit (such as PySide6) or set the "
        "environment variable MPLBACKEND to an interactive backend."
    )


def screen(render_mode: str | None) -> Screen | None:
    """Return the screen of a render mode.

    Raises
    ------
    RenderError
        If there is no such mode.

    Examples
    --------
    >>> screen("ansi")
    Traceback (most recent call last):
        ...
    sfl_env.errors.RenderError: render_mode is 'ansi'; it has to be one of rgb_array, human, or None.
    """
    if render_mode is None:
        return None
    if render_mode == "rgb_array":
        return Pixels()
    if render_mode == "human":
        return Window()
    raise RenderError(
        f"render_mode is {render_mode!r}; it has to be one of {', '.join(RENDER_MODES)}, or None"
        f"{nearest_name(str(render_mode), RENDER_MODES)}."
    )
