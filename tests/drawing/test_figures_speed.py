"""Speed against accuracy: the points read from files, and readable labels."""

import json

import numpy as np
import pytest

from aot_jax.figures.__main__ import main
from aot_jax.figures.page import FigureError
from aot_jax.figures.speed import DEFAULT_FILE, Point, choose_split, draw_speed, read_points

RUN = {"config": "aost", "checkpoint": "/runs/aost", "split": "davis17", "depth": 2, "fps": 20, "J&F": 0.8}
ENTRY = {"name": "A", "curve": "B", "split": "davis17", "fps": 3.5, "score": 0.25}


@pytest.fixture
def write(tmp_path):
    def to_file(content, name="scores.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return to_file


def test_figures_that_come_with_the_project_say_where_they_are_from():
    content = json.loads(DEFAULT_FILE.read_text())
    assert all(entry["source"].startswith("paper, ") for entry in content["published"])
    assert all(entry["device"] and entry["command"] for entry in content["measured"])
    points = read_points([DEFAULT_FILE])
    assert len(points) == len(content["published"]) + len(content["measured"])
    assert Point("AOST, L' = 3", "AOST", "youtubevos18", 15.9, 0.844, False) in points


def test_a_run_of_eval_is_a_point(write):
    assert read_points([write(RUN)]) == [Point("aost, L' = 2", "aost, /runs/aost", "davis17", 20.0, 0.8, True)]
    drawn = RUN | {"checkpoint": "random weights", "G": 0.5, "split": "youtubevos18"}
    (point,) = read_points([write(drawn)])
    assert (point.name, point.score) == ("aost, L' = 2, random weights", 0.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ([1], "holds no figures; give a scores.json of eval.py"),
        ({name: RUN[name] for name in RUN if name != "J&F"}, "has no J&F, since this split has no ground truth"),
        (RUN | {"fps": None}, "fps is None"),
        (
            {"measured": [ENTRY | {"score": 82}]},
            r"A has fps 3\.5, score 82\.0; fps is > 0, and score a fraction 0 \.\. 1",
        ),
        ({"published": ["A"]}, "name is None in A"),
        ({"measured": [ENTRY | {"split": 17}]}, "split is 17"),
    ],
)
def test_files_that_give_no_points(content, message, write, tmp_path):
    path = tmp_path / "missing.json" if content is None else write(content)
    with pytest.raises(FigureError, match=message) as caught:
        read_points([path])
    assert str(caught.value).startswith(f"{path}: ")


def test_the_split_of_the_first_measured_point_is_drawn():
    points = [
        Point("a", "a", "x", 1, 0.1, False),
        Point("b", "b", "y", 1, 0.1, True),
        Point("c", "c", "y", 1, 0.1, False),
    ]
    assert choose_split(points, None) == ("y", points[1:])
    assert choose_split(points, "x") == ("x", points[:1])
    with pytest.raises(FigureError, match="there is no figure of z; there are some of y, x"):
        choose_split(points, "z")
    with pytest.raises(FigureError, match="there is no figure to draw"):
        choose_split([], None)


def test_labels_can_be_read():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    split, points = choose_split(read_points([DEFAULT_FILE]), "youtubevos18")
    figure = draw_speed(split, points)
    (axes,) = figure.axes
    assert sorted(label.get_text() for label in axes.texts) == sorted(point.name for point in points)
    boxes = [label.get_window_extent() for label in axes.texts] + [axes.get_legend().get_window_extent()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    places = {label.get_text(): label.xy for label in axes.texts}
    assert places == {point.name: (point.fps, 100 * point.score) for point in points}


def test_measured_and_published_points_differ_and_say_so(write, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    measured = [ENTRY | {"device": "a CPU", "command": "eval.py"}, ENTRY | {"fps": 2, "device": "a CPU"}]
    points = read_points([write({"measured": measured, "published": [ENTRY]})])
    (axes,) = draw_speed("davis17", points).axes
    hollow, joined = axes.lines[:2]
    np.testing.assert_allclose(joined.get_xydata(), [[2, 25], [3.5, 25]])
    assert joined.get_markerfacecolor() != "white"
    assert hollow.get_markerfacecolor() == "white"
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["measured with this code (a CPU)", "published in the paper (one V100)"]
    assert axes.get_title() == "davis17"
    assert main(["speed", str(write({"published": [ENTRY]})), "--output", str(tmp_path / "speed")]) == 0
    assert capsys.readouterr().err == "note: no measured figures of davis17: only published ones are drawn\n"
    assert (tmp_path / "speed.png").exists()
