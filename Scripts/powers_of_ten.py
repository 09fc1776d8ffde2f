#!/usr/bin/env python3
"""Writes the table of powers of ten that numbers are read and written with.

    Scripts/powers_of_ten.py            writes Sources/CMicroCore/codec/powers_of_ten.c
    Scripts/powers_of_ten.py --check    says whether that file is what would be written

An entry is the first 128 bits of 10^power, the highest of them set. The others are cut off, except
for the powers from -27 to -1, which are rounded up: 19 digits can be a multiple of their inverse,
and their product should not end just below the number that it is. That is the table of Eisel and
Lemire. Schubfach needs all of it rounded up, and adds 1 to what was cut off.
"""

import argparse
import os
import sys

TARGET = os.path.realpath(os.path.join(os.path.dirname(__file__), "..",
                                       "Sources/CMicroCore/codec/powers_of_ten.c"))
# 19 digits times 10^-343 are less than half of the least double. 10^324 turns the least double into
# one digit before the point.
POWER_MIN, POWER_MAX = -342, 324
ROUNDED_UP = range(-27, 0)
BITS = 128

HEAD = """\
/* Written by Scripts/powers_of_ten.py. */
#include "codec/powers_of_ten.h"

/* clang-format off */
const mcore__wide mcore__powers_of_ten[] = {
"""
TAIL = """\
};
/* clang-format on */

_Static_assert(sizeof mcore__powers_of_ten / sizeof *mcore__powers_of_ten ==
                   MCORE__POWER_MAX - MCORE__POWER_MIN + 1,
               "one entry for each power");
"""


def first_bits(power):
    if power >= 0:
        value = 10 ** power
        shift = value.bit_length() - BITS
        return value >> shift if shift > 0 else value << -shift
    value = 10 ** -power
    # 2^(n-1) < value < 2^n, so the quotient has exactly 128 bits; it is never a whole number.
    return (1 << (value.bit_length() + BITS - 1)) // value + (power in ROUNDED_UP)


def table():
    entries = []
    for power in range(POWER_MIN, POWER_MAX + 1):
        bits = first_bits(power)
        assert bits.bit_length() == BITS
        high, low = bits >> 64, bits & (1 << 64) - 1
        assert low != (1 << 64) - 1 and high != (1 << 64) - 1, "1 is added to each without a carry"
        entries.append(f"{{0x{high:016x}, 0x{low:016x}}},")
    lines = [" ".join(entries[at:at + 2]) for at in range(0, len(entries), 2)]
    return HEAD + "".join(f"    {line}\n" for line in lines) + TAIL


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    text = table()
    if not arguments.check:
        with open(TARGET, "w", encoding="utf-8") as file:
            file.write(text)
        return 0
    try:
        with open(TARGET, encoding="utf-8") as file:
            same = file.read() == text
    except FileNotFoundError:
        same = False
    if not same:
        print(f"{os.path.relpath(TARGET)} is not what Scripts/powers_of_ten.py writes")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
