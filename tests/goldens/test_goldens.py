import json

import numpy as np
import pytest

from tests.goldens.regenerate import GOLDEN, measure_astronaut

QUALITY = {"sharpness", "brightness", "contrast"}


def test_the_way_from_a_photo_to_a_row_is_what_it_was() -> None:
    """Places to a tenth of a pixel, quality to half a percent, hashes to two bits: other processors round otherwise."""
    found, golden = measure_astronaut(), json.loads(GOLDEN.read_text())
    assert set(found) == set(golden)
    for name, wanted in golden.items():
        if name.startswith("phash"):
            assert (int(found[name], 16) ^ int(wanted, 16)).bit_count() <= 2, name
        elif isinstance(wanted, str):
            assert found[name] == wanted, name
        else:
            assert np.asarray(found[name]) == pytest.approx(
                np.asarray(wanted), rel=5e-3 if name in QUALITY else 0, abs=0.1
            ), name
