"""A zlib stream of Huffman codes alone, in compiled code: for bytes in which repeats are not worth looking for.

What a PNG filter leaves of a photo is noise about 0. Looking for repeats in it takes nearly all of a compressor's time
and gains next to nothing. So each byte is written by its code, and the codes are made for the picture. Sources: RFC
1950 and 1951; Huffman 1952, A Method for the Construction of Minimum-Redundancy Codes.
"""

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compilation import compiled

_END = 256  # the symbol that ends a block
_SYMBOLS = _END + 1
_LONGEST = 15  # bits of a code, by RFC 1951
_HEADER = b"\x78\x01"  # deflate, a window of 32 KiB, the fastest level

_LENGTH_BITS = 4  # every code length from 0 to 15 has a code of its own, of so many bits
_LENGTH_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)


def huffman_zlib(data: NDArray[np.uint8]) -> bytes:
    """Compress uint8 [N], one byte or more, to a zlib stream that any inflater reads; the same bytes each time."""
    lengths = np.zeros(_SYMBOLS, np.uint32)
    counts = np.zeros(_SYMBOLS, np.int64)
    _count(data, counts)
    counts[_END] = 1
    _code_lengths(counts, lengths, _LONGEST)
    codes = np.zeros(_SYMBOLS, np.uint32)
    _codes(lengths, codes, _LONGEST)
    header = _block_header(lengths)
    size = len(header) + int((counts * lengths).sum())
    out = np.zeros(size // 32 + 2, "<u4")
    _pack(data, header, (codes, lengths), out)
    return _HEADER + out.tobytes()[: -(-size // 8)] + zlib.adler32(data.data).to_bytes(4, "big")


def _block_start() -> NDArray[np.uint8]:
    """Give the bits, one a byte, that begin the one block."""
    numbers = [(1, 1), (2, 2)]  # the last block; with codes of its own
    numbers += [(_SYMBOLS - 257, 5), (1, 5), (len(_LENGTH_ORDER) - 4, 4)]  # two codes of distances, as zlib writes
    numbers += [(_LENGTH_BITS if symbol <= _LONGEST else 0, 3) for symbol in _LENGTH_ORDER]
    return np.array([(number >> place) & 1 for number, width in numbers for place in range(width)], np.uint8)


_BLOCK_START = _block_start()


def _block_header(lengths: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Give the bits, one a byte, that begin the one block and tell its codes."""
    told = np.append(lengths, (1, 1))  # the two distances are never used
    places = np.arange(_LENGTH_BITS - 1, -1, -1)  # of codes the highest bit comes first
    return np.append(_BLOCK_START, (told[:, None] >> places) & 1).astype(np.uint8)


@compiled
def _count(data: Any, counts: Any) -> None:
    """Add up how often each byte occurs; in four tables, so that one byte's sum waits for no other's."""
    tables = np.zeros((4, 256), np.int64)
    fours = len(data) // 4 * 4
    for i in range(0, fours, 4):
        for k in range(4):
            tables[k, data[i + k]] += 1
    for i in range(fours, len(data)):
        tables[0, data[i]] += 1
    for symbol in range(256):
        counts[symbol] = tables[0, symbol] + tables[1, symbol] + tables[2, symbol] + tables[3, symbol]


@compiled
def _code_lengths(counts: Any, lengths: Any, longest: Any) -> None:
    """Fill `lengths` with the bits of each symbol's code; 0 where it does not occur.

    The two rarest nodes are joined again and again. Where a code comes out too long, rare symbols are counted as less
    rare, and all is done once more.
    """
    symbols = len(counts)
    weights = np.empty(2 * symbols, np.int64)
    parents = np.empty(2 * symbols, np.int64)
    depths = np.empty(2 * symbols, np.int64)
    floor = 0
    while True:
        used = 0
        for symbol in range(symbols):
            used += counts[symbol] > 0
            weights[symbol] = max(counts[symbol], floor) if counts[symbol] > 0 else 0
        order = np.argsort(weights[:symbols], kind="mergesort")
        leaf, inner, nodes = symbols - used, symbols, symbols
        while nodes < symbols + used - 1:
            weights[nodes] = 0
            for _ in range(2):
                is_leaf = leaf < symbols and (inner >= nodes or weights[order[leaf]] <= weights[inner])
                child = order[leaf] if is_leaf else inner
                leaf, inner = leaf + is_leaf, inner + (not is_leaf)
                parents[child] = nodes
                weights[nodes] += weights[child]
            nodes += 1
        deepest = 1
        depths[nodes - 1] = 0
        for node in range(nodes - 2, symbols - 1, -1):
            depths[node] = depths[parents[node]] + 1
        for symbol in range(symbols):
            lengths[symbol] = max(depths[parents[symbol]] + 1, 1) if counts[symbol] > 0 and used > 1 else 0
            deepest = max(deepest, lengths[symbol])
        if deepest <= longest:
            return
        floor = max(2 * floor, 1 + (weights[nodes - 1] >> (longest + 2)))


@compiled
def _codes(lengths: Any, codes: Any, longest: Any) -> None:
    """Fill `codes` with the canonical code of each symbol, its first bit lowest."""
    code = 0
    for length in range(1, longest + 1):
        for symbol in range(len(lengths)):
            if lengths[symbol] == length:
                turned = 0
                for place in range(length):
                    turned |= ((code >> place) & 1) << (length - 1 - place)
                codes[symbol] = turned
                code += 1
        code <<= 1


@compiled
def _pack(data: Any, header: Any, table: Any, out: Any) -> None:
    """Fill uint32 words with the header's bits, the code of each byte, and the code that ends the block."""
    codes, lengths = table
    joined = np.empty(len(codes), np.uint64)  # code and length in one word: one look for each byte
    for symbol in range(len(codes)):
        joined[symbol] = (np.uint64(codes[symbol]) << np.uint64(8)) | np.uint64(lengths[symbol])
    low, eight, mask, one = np.uint64(255), np.uint64(8), np.uint64(31), np.uint64(1)
    held, bits, words = np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(len(header)):
        held |= np.uint64(header[i]) << bits
        bits += one
        if bits > mask:
            out[words] = held
            held, bits, words = np.uint64(0), np.uint64(0), words + one
    pairs = len(data) // 2 * 2
    for i in range(0, pairs, 2):
        first, second = joined[data[i]], joined[data[i + 1]]
        held |= (first >> eight) << bits
        bits += first & low
        held |= (second >> eight) << bits
        bits += second & low
        out[words] = held  # without asking whether the word is full, which would be guessed wrong too often
        held >>= bits & ~mask
        words += bits >> np.uint64(5)
        bits &= mask
    for i in range(pairs, len(data) + 1):
        last = joined[data[i]] if i < len(data) else joined[len(codes) - 1]
        held |= (last >> eight) << bits
        bits += last & low
    out[words] = held
    out[words + one] = held >> np.uint64(32)
