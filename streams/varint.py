"""Avro's integers: zigzag, then seven bits a byte, the lowest first, the top bit says "goes on".

`record_code` writes the short cases out in place; what is long or rare comes here.
"""

from __future__ import annotations

_LONG_BYTES_MAX = 10  # ceil(64 / 7)
_LONG_MAX = 2**63 - 1
_INT_MAX = 2**31 - 1
_ONE_BYTE = 1 << 7

# An instant of the years 1978 to 3111 takes eight bytes, so its seven-bit groups can be joined all
# at once, by halves, instead of byte by byte.
CONTINUES = 0x8080_8080_8080_8080
EIGHT_BYTES = 0x0080_8080_8080_8080  # the first seven go on, the eighth is the last


class MalformedError(ValueError):
    """These bytes are no value of the schema."""


def long_at(raw: bytes, at: int) -> tuple[int, int]:
    """The `long` that starts at a byte, and where the next value starts."""
    value = shift = 0
    for place in range(at, at + _LONG_BYTES_MAX):
        byte = raw[place]
        value |= (byte & 0x7F) << shift
        if byte < _ONE_BYTE:
            value = (value >> 1) ^ -(value & 1)
            if not -_LONG_MAX - 1 <= value <= _LONG_MAX:
                break
            return value, place + 1
        shift += 7
    raise MalformedError(f"byte {at}: a number of more than 64 bits")


def int_at(raw: bytes, at: int) -> tuple[int, int]:
    """The `int` that starts at a byte, and where the next value starts."""
    value, end = long_at(raw, at)
    if not -_INT_MAX - 1 <= value <= _INT_MAX:
        raise MalformedError(f"byte {at}: a number of more than 32 bits")
    return value, end


def length_at(raw: bytes, at: int) -> tuple[int, int]:
    """The length of a text that starts at a byte, and where the text starts."""
    length, end = long_at(raw, at)
    if not 0 <= length <= len(raw) - end:
        raise MalformedError(f"byte {at}: a text of {length} bytes where {len(raw) - end} are left")
    return length, end


def items_at(raw: bytes, at: int, items_max: int) -> tuple[int, int]:
    """The number of items in a block of an array, and where the first one starts.

    Zero ends the array. A negative number is followed by the block's size, which we do not need.
    """
    count, end = long_at(raw, at)
    if count < 0:
        count = -count
        size, end = long_at(raw, end)
        if size < 0:
            raise MalformedError(f"byte {at}: a block of {size} bytes")
    if count > items_max:
        raise MalformedError(f"byte {at}: a list goes on for {count} items, {items_max} may come")
    return count, end


def long_bytes(value: int) -> bytes:
    """A number of up to 64 bits.

    Raises:
        OverflowError: it has more.
    """
    if not -_LONG_MAX - 1 <= value <= _LONG_MAX:
        raise OverflowError(f"{value} does not fit 64 bits")
    bits = value << 1 ^ value >> 63
    out = b""
    while bits >= TABLE:
        out += GOES_ON[bits & TABLE - 1]
        bits >>= 14
    return out + ENDS[bits]


def int_bytes(value: int) -> bytes:
    """A number of up to 32 bits.

    Raises:
        OverflowError: it has more.
    """
    if not -_INT_MAX - 1 <= value <= _INT_MAX:
        raise OverflowError(f"{value} does not fit 32 bits")
    return long_bytes(value)


def _two(bits: int) -> tuple[int, int]:
    return bits & 0x7F, bits >> 7


TABLE = 1 << 14
GOES_ON = tuple(bytes((low | 0x80, high | 0x80)) for low, high in map(_two, range(TABLE)))
"""Two bytes that are followed by more, by their 14 bits."""
ENDS = tuple(bytes((low | 0x80, high) if high else (low,)) for low, high in map(_two, range(TABLE)))
"""The one or two bytes that end a number, by their bits."""
