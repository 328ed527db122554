"""What the pictures of the confusion matrix and of the learning curves say."""

import io

import numpy as np
from PIL import Image

from train.figures import confusion_figure, curves_figure


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_cells_hold_counts_and_shares_of_the_true_class():
    figure = confusion_figure(np.array([[3, 1], [0, 8]]), ["a", "b"], "title")
    assert texts(figure) == ["3\n75.0%", "1\n25.0%", "0\n0.0%", "8\n100.0%"]
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), [[0.75, 0.25], [0, 1]])


def test_a_class_without_rows_is_marked_and_divides_nothing():
    figure = confusion_figure(np.array([[2, 0], [0, 0]]), ["a", "b"], "title")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b\n(no rows)"]
    assert texts(figure)[2:] == ["0", "0"]


def test_of_many_classes_the_colours_alone_are_drawn():
    assert texts(confusion_figure(np.eye(31, dtype=np.int64), [str(i) for i in range(31)], "title")) == []


def test_names_are_shown_as_they_are_written():
    names = ["costs $5 and $6", "größe <b>\\frac{"]
    target = io.BytesIO()
    figure = confusion_figure(np.array([[1, 2], [3, 4]]), names, "a $1 b$ title")
    figure.savefig(target, dpi=40)
    assert Image.open(target).size[0] > 100
    labels = [*figure.axes[0].get_xticklabels(), *figure.axes[0].get_yticklabels(), figure.axes[0].title]
    assert [label.get_text() for label in labels] == [*names, *names, "a $1 b$ title"]
    assert not any(label.get_parse_math() for label in labels)


def test_a_long_name_is_cut():
    figure = confusion_figure(np.array([[1, 2], [3, 4]]), ["x" * 3000, "two\nlines"], "title")
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names[0] == "x" * 23 + "…"
    assert "\n" not in names[1]


def test_curves_are_drawn_panel_by_panel_and_bridge_what_was_not_logged():
    series = {"train/loss": (3.0, 2.0, 1.0), "val/loss": (2.5, None, 1.5), "val/f1_macro": (None, 0.0, 0.6)}
    wanted = [("Loss", ["train/loss", "val/loss"]), ("Classes", ["val/f1_macro"])]
    loss, classes = curves_figure(wanted, (0, 1, 2), series, 1).axes
    assert [axes.get_title() for axes in (loss, classes)] == ["Loss", "Classes"]
    drawn = {line.get_label(): line.get_xydata().tolist() for axes in (loss, classes) for line in axes.get_lines()}
    assert drawn["train/loss"] == [[0, 3], [1, 2], [2, 1]]
    assert drawn["val/loss"] == [[0, 2.5], [2, 1.5]]
    assert drawn["val/f1_macro"] == [[1, 0], [2, 0.6]]
    assert [point[0] for point in drawn["the checkpoint"]] == [1, 1]
    (unmarked,) = curves_figure(wanted[:1], (0, 1, 2), series, None).axes
    assert len(unmarked.get_lines()) == 2
