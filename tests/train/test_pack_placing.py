"""Where the crops of a pack are while a model trains: in their file, in memory, or on a GPU."""

import dataclasses

import pytest
import torch

from align import UsageError
from train.pack import Pack, open_pack

from .test_pack import SIZE, assert_holds, make_rows


def test_placing_leaves_a_cpus_pack_mapped_unless_it_is_told_to_read_it(tmp_path):
    rows = make_rows(tmp_path)
    pack = open_pack(tmp_path, rows, SIZE)
    cpu = torch.device("cpu")
    assert pack.placed(cpu) is pack
    assert pack.placed(cpu, "memory-map") is pack
    read = pack.placed(cpu, "device")
    assert read.images.data_ptr() != pack.images.data_ptr()
    assert_holds(read, rows)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_pack_is_gathered_there(tmp_path):
    rows = make_rows(tmp_path)
    pack = open_pack(tmp_path, rows, SIZE).placed(torch.device("cuda", 0))
    assert pack.images.is_cuda
    assert torch.equal(pack.gather(torch.tensor([3, 1])).cpu(), open_pack(tmp_path, rows, SIZE).images[[3, 1]])
    huge = dataclasses.replace(pack, images=torch.empty(1, dtype=torch.uint8).expand(10**13))
    assert isinstance(huge.placed(torch.device("cuda", 0)), Pack)
    with pytest.raises(UsageError, match=r"data\.device must be memory-map"):
        huge.placed(torch.device("cuda", 0), "device")
