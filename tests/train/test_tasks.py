import pytest
import torch

from align import UsageError
from train.tasks import Tasks


def test_each_task_gets_its_columns_in_one_order():
    tasks = Tasks(["sad", "happy", "angry"], affect=True, units=["au_4", "au_12"])
    assert tasks.names == ["sad", "happy", "angry", "valence", "arousal", "au_4", "au_12"]
    assert tasks.outputs == 7
    classes, affect, units = tasks.split(torch.arange(14.0).view(2, 7))
    assert classes.tolist() == [[0, 1, 2], [7, 8, 9]]
    assert affect.tolist() == [[3, 4], [10, 11]]
    assert units.tolist() == [[5, 6], [12, 13]]
    assert Tasks(units=["au_1"]).split(torch.zeros(3, 1)).classes.shape == (3, 0)


def test_the_best_model_is_chosen_by_the_one_task_or_by_the_loss_of_several():
    assert Tasks(["a", "b"]).monitor == ("val/f1_macro", "max")
    assert Tasks(affect=True).monitor == ("val/ccc_mean", "max")
    assert Tasks(units=["au_1"]).monitor == ("val/f1_units_mean", "max")
    assert Tasks(["a", "b"], affect=True).monitor == ("val/loss", "min")


@pytest.mark.parametrize(
    ("given", "says"),
    [({}, "none of them"), ({"classes": ["a"]}, "at least two"), ({"classes": ["a", "b", "a"]}, "each once")],
)
def test_tasks_that_say_nothing_are_refused(given, says):
    with pytest.raises(UsageError, match=says):
        Tasks(**given)
