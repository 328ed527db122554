"""dlib's numbers: read in plain Python and compiled alike."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align import ModelError
from align.dlib_stream import Stream

NUMBERS = st.lists(st.integers(-(2**62), 2**62) | st.integers(-300, 300), max_size=30)


def _written(numbers: list[int]) -> bytes:
    parts = []
    for value in numbers:
        size = max(1, (abs(value).bit_length() + 7) // 8)
        parts.append(bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little"))
    return b"".join(parts)


def _stream(data: bytes) -> Stream:
    return Stream(data, "file.dat", "what it should be")


@settings(deadline=None)
@given(NUMBERS, st.binary(max_size=3))
def test_integers_are_read_as_written_one_by_one_and_many_at_once(numbers: list[int], rest: bytes) -> None:
    data = _written(numbers)
    few, many = _stream(data + rest), _stream(data + rest)
    assert list(few.integers(len(numbers))) == numbers
    assert many.many(len(numbers)).tolist() == numbers
    assert few.at == many.at == len(data)


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(1, 12))
def test_both_ways_refuse_the_same_bytes_at_the_same_place(data: bytes, count: int) -> None:
    said = []
    padded = data + bytes(2 * count)  # many looks first whether there are bytes enough; a control byte of 0 is wrong
    for read in (Stream.integers, Stream.many):
        stream = _stream(padded)
        try:
            said.append((tuple(int(n) & 0xFFFFFFFFFFFFFFFF for n in read(stream, count)), stream.at))
        except ModelError as error:
            said.append((str(error), stream.at))
    assert said[0] == said[1]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x09123456789", b"\x02\x01", b"\x81"])
def test_what_is_no_integer_is_named_with_its_place(data: bytes) -> None:
    stream = _stream(_written([7]) + data)
    assert stream.integer() == 7
    with pytest.raises(ModelError, match=r"^file\.dat: expected an integer at byte 2 .* is not what it should be$"):
        stream.integer()


def test_more_numbers_than_bytes_are_refused_before_room_is_made() -> None:
    with pytest.raises(ModelError, match=r"expected 1000000000000000 integers at byte 0 \(found 4 bytes\)"):
        _stream(b"\x01\x01\x01\x01").many(10**15)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
@settings(deadline=None)
def test_reals_are_read_as_written(values: list[float]) -> None:
    numbers = []
    for value in values:
        fraction, exponent = math.frexp(value)
        numbers += [int(fraction * 2**24), exponent - 24]
    data = _written(numbers)
    assert _stream(data).reals(len(values)).tolist() == values
    assert _stream(data).reals(len(values)).dtype == np.float32
    stream = _stream(data)
    assert [stream.real() for _ in values] == values


@pytest.mark.parametrize("exponent", [128, 961, 32_000, 32_001, 32_002, 2**40])
def test_infinities_and_what_is_too_large_are_refused(exponent: int) -> None:
    if exponent == 128:
        assert _stream(_written([1, exponent])).real() == 2.0**128
    else:
        with pytest.raises(ModelError, match=f"expected a finite number .*found exponent {exponent}"):
            _stream(_written([1, exponent])).real()
    with pytest.raises(ModelError, match="expected before it numbers that float32 can hold"):
        _stream(_written([1, 0, 1, exponent])).reals(2)


def test_strings_and_bytes_end_with_the_file() -> None:
    stream = _stream(_written([3]) + b"abc" + _written([4]) + b"de")
    assert stream.string() == "abc"
    with pytest.raises(ModelError, match=r"expected 4 more bytes at byte 7 \(found 2\)"):
        stream.string()
    with pytest.raises(ModelError, match="expected -1 more bytes"):
        _stream(_written([-1])).string()
