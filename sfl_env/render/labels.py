"""The words of a picture: names of devices and cuts, lengths of time, the round in one line."""

from sfl_env.render.picture import RoundPicture

_TIME_UNITS = ((1e-3, "µs", 1e6), (1.0, "ms", 1e3), (600.0, "s", 1.0), (36_000.0, "min", 1.0 / 60.0))
_LONGEST_NAME = 16


def device_labels(picture: RoundPicture) -> list[str]:
    """Return what stands before each device's row: its index, and its name where it has one."""
    return [f"{index} {_shortened(name)}".rstrip() for index, name in enumerate(picture.device_names)]


def cut_labels(picture: RoundPicture) -> list[str]:
    """Return each device's cut, counted from 1 as in the model, and its name."""
    if picture.note:
        return [""] * len(picture.cut)
    return [
        f"{cut + 1} {_shortened(picture.cut_names[cut])}" if part else "-"
        for cut, part in zip(picture.cut.tolist(), picture.takes_part, strict=True)
    ]


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def summary(picture: RoundPicture) -> str:
    """Return the round's latency and, where it is known, the optimum and what was lost to it."""
    if not picture.stragglers:
        return ""
    text = f"latency {_time_text(picture.latency_s)}"
    if picture.optimal_latency_s is None:
        return text
    # Adding zero turns the -0.0 of a difference by rounding alone into 0.0.
    loss = round((picture.latency_s / picture.optimal_latency_s - 1.0) * 100.0, 1) + 0.0
    return f"{text}   optimum {_time_text(picture.optimal_latency_s)} ({loss:+.1f} %)"


def time_unit(seconds: float) -> tuple[str, float]:
    """Return the unit that suits a time, and how many of it a second has."""
    return next(((unit, per) for limit, unit, per in _TIME_UNITS if seconds < limit), ("h", 1.0 / 3600.0))


def _time_text(seconds: float) -> str:
    unit, per_second = time_unit(seconds)
    value = seconds * per_second
    return f"{value:.3g} {unit}" if value < 1000.0 else f"{value:.0f} {unit}"
