"""A round is shown as a timeline of every device's phases, in an array of pixels or in a window."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from matplotlib import colors, pyplot, rcParams
from matplotlib.figure import Figure

import sfl_env
from sfl_env.errors import RenderError
from sfl_env.render import RoundPicture, draw_round, draw_rounds, picture_of, schedule
from sfl_env.render.drawing import PHASE_COLOURS
from sfl_env.rounds.latency import PHASES, SERVER_COMPUTE
from sfl_env.rounds.stages import STAGES
from tests.sfl_env.boards import boards


def picture(num_devices: int = 4, **changes: Any) -> RoundPicture:
    rng = np.random.default_rng(num_devices)
    phases = rng.exponential(size=(num_devices, 7))
    start_s, duration_s = schedule(phases, stages=())
    values: dict[str, Any] = {
        "heading": "Round 3",
        "latency_s": float(phases.sum(axis=1).max()),
        "start_s": start_s,
        "duration_s": duration_s,
        "cut": rng.integers(3, size=num_devices),
        "bandwidth_share": np.full(num_devices, 1.0 / num_devices),
        "cut_names": ("stem", "body", "head"),
        "device_names": ("laptop",) * num_devices,
    }
    return RoundPicture(**(values | changes))


def drawn(*pictures: RoundPicture) -> Figure:
    figure = Figure((9.6, 5.4), 100)
    draw_rounds(figure, pictures)
    figure.draw_without_rendering()
    return figure


def texts(figure: Figure) -> list[str]:
    return [
        text.get_text() for owner in cast(Any, [figure, *figure.axes]) for text in owner.texts if text.get_text()
    ]


def bars(figure: Figure, phase: int, axes: int = 0) -> list[tuple[float, float]]:
    """Start and length of the bars in a phase's colour."""
    wanted = colors.to_rgba(PHASE_COLOURS[phase])
    return [
        (bar.get_x(), bar.get_width())
        for bar in cast(Any, figure.axes[axes].patches)
        if bar.get_facecolor() == wanted
    ]


def test_every_phase_of_every_device_has_its_bar() -> None:
    shown = picture()
    figure = drawn(shown)
    for phase in range(len(PHASES)):
        expected = list(zip(shown.start_s[:, phase], shown.duration_s[:, phase], strict=True))
        np.testing.assert_allclose(bars(figure, phase), expected)


def test_the_straggler_ends_where_the_round_ends() -> None:
    shown = picture()
    ends = shown.start_s[:, -1] + shown.duration_s[:, -1]
    assert ends[list(shown.stragglers)] == pytest.approx([shown.latency_s], rel=1e-12)
    assert f"round ends (straggler: {shown.stragglers[0]})" in texts(drawn(shown))


def test_of_devices_that_finish_together_none_is_blamed() -> None:
    start_s, duration_s = schedule(np.array([[1.0] * 7, [0.5] * 7, [1.0 + 1e-12] * 7]), stages=())
    shown = picture(3, latency_s=7.0, start_s=start_s, duration_s=duration_s)
    assert shown.stragglers == (0, 2)
    assert "round ends (2 devices together)" in texts(drawn(shown))


def test_texts_tell_round_latency_optimum_cuts_and_shares() -> None:
    shown = picture(2, latency_s=12.0, optimal_latency_s=10.0, cut=np.array([0, 2]))
    found = texts(drawn(shown))
    for wanted in ("Round 3", "latency 12 s   optimum 10 s (+20.0 %)", "1 stem", "3 head", "50.0 %"):
        assert wanted in found


def test_a_round_at_the_optimum_is_not_above_it() -> None:
    assert "latency 10 s   optimum 10 s (+0.0 %)" in texts(
        drawn(picture(latency_s=10.0 - 1e-12, optimal_latency_s=10.0))
    )


@pytest.mark.parametrize(
    ("latency_s", "text"),
    [(2e-5, "20 µs"), (0.25, "250 ms"), (599.0, "599 s"), (6000.0, "100 min"), (1e7, "2778 h")],
)
def test_times_come_in_the_unit_that_suits_them(latency_s: float, text: str) -> None:
    assert f"latency {text}" in texts(drawn(picture(latency_s=latency_s)))


def test_rounds_below_each_other_share_a_time_axis() -> None:
    short, long = picture(heading="good"), picture(heading="bad", latency_s=100.0)
    figure = drawn(short, long)
    timelines = [axes for axes in figure.axes if axes.get_xlabel()]
    assert len(timelines) == 2
    assert timelines[0].get_xlim() == timelines[1].get_xlim()
    assert {"good", "bad"} <= set(texts(figure))


def test_drawing_again_replaces_what_was_there() -> None:
    figure = drawn(picture(heading="before"))
    count = len(figure.axes)
    draw_round(figure, picture(heading="after"))
    assert len(figure.axes) == count
    assert "before" not in texts(figure)


@pytest.mark.parametrize("num_devices", [1, 30, 200])
def test_no_texts_of_neighbouring_rows_overlap(num_devices: int) -> None:
    figure = drawn(picture(num_devices))
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text().endswith("laptop")]
    assert boxes
    for above, below in pairwise(boxes):
        # Window coordinates grow upwards; the boxes' paddings may touch.
        assert below.y0 < below.y1 <= above.y0 + 3.0


@pytest.mark.parametrize("num_devices", [1, 10, 30])
def test_all_texts_lie_inside_the_figure(num_devices: int) -> None:
    shown = picture(num_devices, device_names=("a-very-long-device-name",) * num_devices)
    figure = drawn(shown)
    width, height = figure.get_size_inches() * figure.dpi
    for owner in cast(Any, [figure, *figure.axes]):
        for text in owner.texts:
            box = text.get_window_extent()
            assert box.x0 >= 0.0, text
            assert box.x1 <= width, text
            assert box.y0 >= 0.0, text
            assert box.y1 <= height, text


def test_device_and_cut_columns_do_not_overlap() -> None:
    names = ("raspberry-pi-4",) * 4
    figure = drawn(picture(device_names=names, cut_names=("stage10_block10",) * 3))
    found = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}
    devices = [box for text, box in found.items() if "raspberry" in text]
    cuts = [box for text, box in found.items() if "stage" in text]
    assert max(box.x1 for box in devices) < min(box.x0 for box in cuts)
    assert max(box.x1 for box in cuts) < figure.axes[0].get_window_extent().x0


def test_an_idle_device_is_said_to_take_no_part() -> None:
    phases = np.ones((3, 7))
    phases[1] = 0.0
    start_s, duration_s = schedule(phases, stages=())
    shown = picture(3, start_s=start_s, duration_s=duration_s, bandwidth_share=np.array([0.5, 0.0, 0.5]))
    found = texts(drawn(shown))
    assert found.count("takes no part") == 1
    assert shown.stragglers == (0, 2)


def test_the_colours_differ_in_every_kind_of_colour_vision() -> None:
    rgb = np.array([colors.to_rgb(colour) for colour in PHASE_COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    # Viénot, Brettel and Mollon (1999): what protanopes and deuteranopes see.
    protanope = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])
    deuteranope = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
    for sight in (np.eye(3), protanope, deuteranope):
        seen = np.clip(linear @ sight.T, 0.0, 1.0) ** (1.0 / 2.2)
        apart = np.linalg.norm(seen[:, None] - seen, axis=-1)[np.triu_indices(len(seen), 1)]
        assert apart.min() > 0.1
    assert len(set(PHASE_COLOURS)) == len(PHASES)


def test_independent_phases_follow_each_other_without_a_gap() -> None:
    phases = np.random.default_rng(0).exponential(size=(5, 7))
    start, duration = schedule(phases, stages=())
    np.testing.assert_array_equal(duration, phases)
    np.testing.assert_allclose(start[:, 1:], (start + duration)[:, :-1])


def test_stages_wait_for_all_and_the_server_takes_jobs_in_turn() -> None:
    env = gym.make("SFL-Barrier-v0", num_devices=5)
    env.reset(seed=0)
    *_, info = env.step(np.zeros((5, 2), np.float32))
    start, duration = schedule(info["phase_latency_s"], STAGES["adaptsfl"])
    end = start + duration
    assert end.max() == pytest.approx(info["latency_s"], rel=1e-12)
    for before, after in itertools.pairwise(STAGES["adaptsfl"]):
        assert (start[:, after[0]] >= end[:, before[-1]].max() - 1e-12).all()
    np.testing.assert_allclose(start[1:, SERVER_COMPUTE], end[:-1, SERVER_COMPUTE])


def test_pixels_change_from_round_to_round() -> None:
    env = gym.make("SFL-v0", render_mode="rgb_array", num_devices=3)
    env.reset(seed=0)
    frames = [env.render()]
    for _ in range(2):
        env.step(env.action_space.sample())
        frames.append(env.render())
    for frame in frames:
        assert isinstance(frame, np.ndarray)
        assert frame.shape == (540, 960, 3)
        assert frame.dtype == np.uint8
    assert not np.array_equal(cast(Any, frames[0]), cast(Any, frames[1]))
    assert not np.array_equal(cast(Any, frames[1]), cast(Any, frames[2]))
    env.close()


def test_the_picture_of_an_environment_is_its_last_round() -> None:
    env = sfl_env.SFLEnv(num_devices=3, info_optimum=True)
    env.reset(seed=0)
    before = picture_of(env.episodes, None)
    assert before.stragglers == ()
    assert before.note in texts(drawn(before))
    for count in (1, 2):
        *_, info = env.step(np.zeros((3, 2), np.float32))
        shown = picture_of(env.episodes, info)
        assert shown.heading == f"Round {count}"
        assert shown.latency_s == info["latency_s"]
        assert shown.optimal_latency_s == info["optimal_latency_s"]
        assert set(shown.device_names) <= set(env.episodes.scenario.device_types)


def test_devices_of_ones_own_population_go_by_their_index() -> None:
    class Ladder:
        def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> Any:
            return boards(n, num_devices)

    env = sfl_env.SFLEnv(num_devices=2, population=Ladder())
    env.reset(seed=0)
    assert picture_of(env.episodes, None).device_names == ("", "")


def test_an_environment_without_a_render_mode_shows_nothing() -> None:
    env = sfl_env.SFLEnv(num_devices=2)
    env.reset(seed=0)
    assert env.render() is None
    env.close()


def test_an_unknown_render_mode_is_refused() -> None:
    with pytest.raises(RenderError, match=r"render_mode is 'rgb_aray'; .*did you mean 'rgb_array'"):
        sfl_env.SFLEnv(render_mode="rgb_aray")


@pytest.fixture
def no_figures_left() -> Iterator[None]:
    backend = pyplot.get_backend()
    yield
    assert not pyplot.get_fignums()
    pyplot.switch_backend(backend)


WINDOW_BACKEND = """
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

drawn = 0

class FigureManager(FigureManagerBase):
    pass

class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager

    def draw_idle(self):
        global drawn
        drawn += 1
        self.draw()
"""


def test_a_window_follows_the_rounds_and_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_figures_left: None
) -> None:
    (tmp_path / "window_backend_for_test.py").write_text(WINDOW_BACKEND)
    monkeypatch.syspath_prepend(tmp_path)
    pyplot.switch_backend("module://window_backend_for_test")
    env = sfl_env.SFLEnv(render_mode="human", num_devices=2)
    env.reset(seed=0)
    assert len(pyplot.get_fignums()) == 1
    assert "Before the first round" in texts(pyplot.gcf())
    env.step(np.zeros((2, 2), np.float32))
    assert len(pyplot.get_fignums()) == 1
    assert "Round 1" in texts(pyplot.gcf())
    assert sys.modules["window_backend_for_test"].drawn >= 2
    pyplot.close("all")
    env.step(np.zeros((2, 2), np.float32))
    assert len(pyplot.get_fignums()) == 1
    env.close()
    env.close()


@pytest.mark.parametrize("backend", ["agg", "module://no_such_backend"])
def test_without_a_window_one_warning_tells_the_mend_and_the_episode_goes_on(
    backend: str, monkeypatch: pytest.MonkeyPatch, no_figures_left: None
) -> None:
    pyplot.close("all")
    monkeypatch.setitem(rcParams, "backend", backend)
    monkeypatch.setattr(pyplot, "_backend_mod", None)
    env = sfl_env.SFLEnv(render_mode="human", num_devices=2)
    with pytest.warns(UserWarning, match="use render_mode='rgb_array'"):
        env.reset(seed=0)
    env.step(np.zeros((2, 2), np.float32))
    env.close()


def test_nothing_is_imported_for_drawing_until_something_is_drawn() -> None:
    code = (
        "import sys, gymnasium as gym, sfl_env\n"
        "env = gym.make('SFL-v0', num_devices=2)\n"
        "env.reset(seed=0); env.step(env.action_space.sample()); env.close()\n"
        "print([name for name in ('torch', 'matplotlib', 'pandas') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
