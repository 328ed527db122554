"""What the confusion matrix's picture says."""

import io

import numpy as np
from PIL import Image

from train.figures import confusion_figure


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
