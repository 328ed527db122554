import pytest
import torch

from train.tasks import Tasks
from train.tta import average, tta_views

TASKS = Tasks(["a", "b", "c"], affect=True, units=["au_1", "au_12"])


def pictures(count=3, side=16):
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_none_is_the_picture_and_flip_adds_its_mirror_image():
    images = pictures()
    assert tta_views(images, "none") is images
    views = tta_views(images, "flip")
    assert views.dtype == torch.uint8
    assert torch.equal(views[:3], images)
    assert torch.equal(views[3:], images.flip(3))


def test_ten_crops_are_the_corners_the_centre_and_their_mirrors_at_full_size():
    side = 16
    down, across = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    images = torch.stack([down, across, down * 0])[None].float().expand(2, -1, -1, -1)
    views = tta_views(images, "ten_crop").unflatten(0, (10, 2))
    assert views.shape == (10, 2, 3, side, side)
    middle = views[:5, 0, :2].mean((2, 3))
    expected = torch.tensor([[6.5, 6.5], [6.5, 8.5], [8.5, 6.5], [8.5, 8.5], [7.5, 7.5]])
    torch.testing.assert_close(middle, expected, atol=1e-4, rtol=0)
    assert float(views[0, 0, 1, 0, -1]) == pytest.approx(13, abs=0.01)  # 14 of 16 columns, over the full width
    assert torch.equal(views[5:], views[:5].flip(4))


def test_equal_answers_average_to_what_they_say():
    outputs = torch.randn(4, 7, generator=torch.Generator().manual_seed(1))
    found = average(outputs.repeat(10, 1), TASKS, 10)
    torch.testing.assert_close(found[:, :3], outputs[:, :3].log_softmax(1))
    torch.testing.assert_close(found[:, 3:], outputs[:, 3:], atol=1e-5, rtol=1e-5)
    assert average(outputs, TASKS, 1) is outputs


def test_probabilities_are_averaged_not_logits():
    outputs = torch.randn(5 * 4, 7, generator=torch.Generator().manual_seed(2)) * 5
    found = average(outputs, TASKS, 5)
    views = outputs.unflatten(0, (5, 4))
    torch.testing.assert_close(found[:, :3].exp(), views[..., :3].softmax(2).mean(0))
    torch.testing.assert_close(found[:, 3:5], views[..., 3:5].mean(0))
    torch.testing.assert_close(found[:, 5:].sigmoid(), views[..., 5:].sigmoid().mean(0))


def test_sure_answers_stay_finite():
    outputs = torch.tensor([[200.0, -200.0, 0.0, 1.0, -1.0, 200.0, -200.0]]).repeat(2, 1)
    torch.testing.assert_close(average(outputs, TASKS, 2)[0, 5:], torch.tensor([200.0, -200.0]))
    assert average(outputs, TASKS, 2).isfinite().all()


@pytest.mark.parametrize("tasks", [Tasks(affect=True), Tasks(units=["au_1"]), Tasks(["a", "b"])])
def test_tasks_that_a_model_has_not_are_left_out(tasks):
    outputs = torch.randn(6, tasks.outputs)
    assert average(outputs, tasks, 3).shape == (2, tasks.outputs)
