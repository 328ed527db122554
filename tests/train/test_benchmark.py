"""The counts are those that were published; the figures come from fresh processes."""

import csv
import json

import pytest
import torch

from align import UsageError
from train.benchmark import BenchmarkSpec, Case, cases, pareto
from train.benchmark.measure import _model, count
from train.benchmark.memory import ProcessMeter
from train.cli import main


def counted(name):
    """Parameters and statistics, without memory for the weights."""
    with torch.device("meta"):
        model = _model(Case(name, None, "cpu", "32-true"))
    parameters = sum(p.numel() for part in (model.backbone, model.head) for p in part.parameters())
    buffers = model.backbone.net.named_buffers()
    return parameters, sum(b.numel() for n, b in buffers if n.endswith(("running_mean", "running_var")))


def test_vgg16_and_resnet101_with_seven_classes_have_the_published_numbers_of_parameters():
    assert counted("vgg16") == (134_289_223, 0)
    parameters, statistics = counted("resnet101")
    assert parameters + statistics == 42_619_847
    assert parameters == 42_514_503


def test_a_small_network_is_counted_by_hand():
    model = _model(Case("test_resnet", 64, "cpu", "32-true", classes=5))
    convolutions = [m for m in model.backbone.modules() if isinstance(m, torch.nn.Conv2d)]
    norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    weights = sum(m.weight.numel() for m in convolutions) + sum(2 * m.num_features for m in norms)
    figures = count(model)
    assert figures["parameters"] == weights + model.backbone.features * 5 + 5
    assert figures["statistics"] == sum(2 * m.num_features for m in norms)
    adds = []
    hooks = [
        m.register_forward_hook(lambda m, _, out: adds.append(m.weight.numel() * out.shape[2] * out.shape[3]))
        for m in convolutions
    ]
    with torch.no_grad():
        model(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    assert figures["multiply_adds"] == sum(adds) + model.backbone.features * 5
    stored = 4 * (figures["parameters"] + figures["statistics"])
    assert stored < figures["weights_bytes"] < stored + 40_000  # names and shapes come on top


def test_the_meter_sees_a_peak_that_is_over_and_forgets_it_at_the_next_phase():
    meter = ProcessMeter()
    held = torch.ones(50_000_000)  # 200 MB
    assert held.sum() > 0
    del held
    assert meter.peak() > 180e6
    meter.start()
    assert meter.peak() < 100e6


def figures(name, parameters, speed):
    return {"backbone": name, "parameters": parameters, "inference_images_per_s": speed}


def test_the_front_holds_what_no_other_beats():
    measured = [figures("a", 10, 5), figures("b", 5, 9), figures("c", 1, 2), figures("d", 20, 20), figures("e", 5, 3)]
    assert [measured[i]["backbone"] for i in pareto(measured)] == ["c", "b", "d"]


def test_cases_are_every_combination_once():
    spec = BenchmarkSpec(["a", "b", "a"], [48, 64], ["cpu"], ["32-true", "bf16-mixed"])
    listed = [(case.backbone, case.size_px, case.precision) for case in cases(spec)]
    assert len(listed) == len(set(listed)) == 8
    assert [case.size_px for case in cases(BenchmarkSpec(["a"]))] == [None]


def test_cuda_that_is_not_there_is_one_sentence(capsys, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("CUDA is there")
    assert main(["benchmark", "--backbones", "test_resnet", "--devices", "cpu,cuda", "--out", str(tmp_path)]) == 2
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert "expected a CUDA device that torch can use (found none)" in sentence
    with pytest.raises(UsageError, match="--devices must be of cpu, cuda"):
        BenchmarkSpec(["a"], devices=["tpu"])


def test_each_backbone_is_measured_and_a_wrong_name_stops_no_other(capsys, tmp_path):
    quick = ["--batch", "4", "--rounds", "2", "--round_s", "0.01", "--threads", "1", "--sizes", "48"]
    names = ["--backbones", "test_resnet,test_resnett"]
    assert main(["benchmark", *names, *quick, "--out", str(tmp_path), "--json"]) == 3
    shown = capsys.readouterr()
    assert "expected one of" in shown.err
    assert "did you mean" in shown.err
    result = json.loads(shown.out)
    (case,) = result["cases"]
    (failed,) = result["failed"]
    assert failed["backbone"] == "test_resnett"
    assert (case["backbone"], case["size_px"], case["threads"], case["batch"]) == ("test_resnet", 48, 1, 4)
    for name in ("training_images_per_s", "inference_images_per_s"):
        assert 0 < case[f"{name}_least"] <= case[name] <= case[f"{name}_most"]
    assert case["inference_images_per_s"] > case["training_images_per_s"]
    assert 0 < case["latency_ms"] <= case["latency_p95_ms"]
    assert case["inference_memory"] > 0
    assert case["training_memory"] > 0
    with (tmp_path / "benchmark.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["backbone"] == "test_resnet"
    assert int(row["parameters"]) == case["parameters"]
    assert (tmp_path / "benchmark.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "benchmark.json").read_text())["cases"] == result["cases"]
