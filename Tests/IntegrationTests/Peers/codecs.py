"""The json, msgpack and cbor2 of Python: what our codecs are compared with.

    codecs.py echo            each line "FORMAT BASE64" is read, written again, and printed
    codecs.py values COUNT    prints COUNT lines "FORMAT BASE64" of values made here and "end",
                              reads as many as somebody wrote again, and prints which differ
    codecs.py judge           for each line of base64 prints whether it is JSON: true or false
"""

import base64
import json
import math
import random
import struct
import sys
import unicodedata

import cbor2
import msgpack

FORMATS = {
    "json": (lambda data: json.loads(data.decode()),
             lambda value: json.dumps(value, allow_nan=False).encode()),
    "msgpack": (lambda data: msgpack.unpackb(data, strict_map_key=False), msgpack.packb),
    "cbor": (cbor2.loads, cbor2.dumps),
}


def lines():
    for line in sys.stdin:
        yield line.rstrip("\n")


def parts(line):
    name, data = line.split(" ")
    return name, base64.b64decode(data, validate=True)


def text(data):
    return base64.b64encode(data).decode()


def echo():
    for line in lines():
        name, data = parts(line)
        read, write = FORMATS[name]
        print(name, text(write(read(data))))


# ---- Values ----

class Maker:
    """Random values. What Swift's trees can't hold is left out: bytes, and two keys of one object
    that are the same but for their normal form, since Swift's strings compare by that."""

    INTEGERS = [0, 1, -1, 23, 24, -24, -25, 127, 128, -128, -129, 255, 256, 65535, 65536, -32768,
                -32769, 2**31 - 1, 2**31, -2**31, -2**31 - 1, 2**32 - 1, 2**32, 2**53, 2**53 + 1,
                2**63 - 1, 2**63, -2**63, 2**64 - 1]
    REALS = [0.0, -0.0, 0.1, 1.5, 5e-324, 2.225073858507201e-308, 2.2250738585072014e-308,
             1.7976931348623157e308, -1e300, 1e21, 1e-7, 123456789.125, 9007199254740993.0, 1 / 3,
             65504.0, 65520.0, 5.960464477539063e-08, 3.4028234663852886e38, 1e-45]
    CHARACTERS = ["a", "Z", " ", '"', "\\", "/", "\0", "\n", "\r", "\t", "\x1f", "\x7f", "\x85",
                  "\xa0", "é", "ß", "日", "\u2028", "\u2029", "\ufeff", "\ufffd", "\uffff",
                  "\ue000", "\u0301", "😀", "\U00010000", "\U0010ffff"]

    def __init__(self, name, seed):
        self.name = name
        self.random = random.Random(f"{name} {seed}")

    def value(self, depth=0):
        kinds = [self.scalar, self.integer, self.real, self.string]
        if depth < 8:
            kinds += [self.array, self.object]
        return self.random.choice(kinds)(depth)

    def scalar(self, _):
        return self.random.choice([None, True, False])

    def integer(self, _):
        one = self.random.random()
        if one < 0.5:
            return self.random.choice(self.INTEGERS)
        if self.name == "json" and one < 0.6:
            return self.random.getrandbits(200) - 2**199
        sign = self.random.choice([1, -1])
        return sign * self.random.getrandbits(self.random.randint(1, 63))

    def real(self, _):
        if self.random.random() < 0.3:
            return self.random.choice(self.REALS)
        if self.name != "json" and self.random.random() < 0.1:
            return self.random.choice([math.inf, -math.inf, math.nan])
        while True:
            bits = self.random.getrandbits(64)
            if self.random.random() < 0.2:
                bits &= ~(0x7FF << 52)  # subnormal
            real, = struct.unpack("<d", struct.pack("<Q", bits))
            if math.isfinite(real):
                return real

    def string(self, _):
        count = self.random.choice([0, 1, 2, 5, 31, 32, 40, 300])
        return "".join(self.random.choice(self.CHARACTERS) if self.random.random() < 0.7
                       else chr(self.random.randint(32, 0xD7FF)) for _ in range(count))

    def array(self, depth):
        return [self.value(depth + 1) for _ in range(self.random.choice([0, 1, 3, 16]) >> depth)]

    def object(self, depth):
        count = self.random.choice([0, 1, 3, 16]) >> depth
        return {unicodedata.normalize("NFC", self.string(0)): self.value(depth + 1)
                for _ in range(count)}


def same(a, b):
    """Whether they are equal: numbers by what they are worth, for Swift's trees don't tell 2.0 from
    2, and take a large number for the integer that its shortest digits are. An integer beyond 64
    bits is the nearest float there."""
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        if isinstance(a, int) and isinstance(b, int) and -2**63 <= a < 2**64:
            return a == b
        a, b = float(a), float(b)
        return a == b or (a != a and b != b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


def written(name, value, chance):
    """JSON has more than one form for a value."""
    if name != "json":
        return FORMATS[name][1](value)
    return json.dumps(value, allow_nan=False, ensure_ascii=chance.random() < 0.5,
                      indent=chance.choice([None, None, 1])).encode()


def repeated(chance):
    """An object whose keys come more than once, and what Python takes it for: the last one
    counts."""
    keys = ["a", "b", "c", "", "é", "longer than any word of sixteen bytes"]
    pairs = [(chance.choice(keys), chance.randint(0, 9)) for _ in range(chance.randint(2, 40))]
    data = "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in pairs) + "}"
    return json.loads(data), data.encode()


def values(count):
    sent = []
    for number in range(count):
        name = list(FORMATS)[number % len(FORMATS)]
        maker = Maker(name, number)
        if name == "json" and number % 5 == 0:
            value, data = repeated(maker.random)
        else:
            value = maker.value()
            data = written(name, value, maker.random)
        sent.append((value, data))
        print(name, text(data))
    print("end", flush=True)
    differing = []
    answers = list(lines())
    if len(answers) != count:
        differing.append(f"{len(answers)} answers to {count} values")
    for (value, data), answer in zip(sent, answers):
        name, back = parts(answer)
        try:
            if same(value, FORMATS[name][0](back)):
                continue
            what = "differs"
        except Exception as error:  # whatever a reader says
            what = repr(error)
        differing.append(f"{name} {what}: {data[:500]!r} came back as {back[:500]!r}")
    print(json.dumps(differing[:20]))


# ---- JSON or not ----

def is_json(data):
    try:
        json.loads(data.decode())
    except (ValueError, RecursionError):
        return False
    return True


def judge():
    print(json.dumps([is_json(base64.b64decode(line)) for line in lines()]))


if sys.argv[1] == "values":
    values(int(sys.argv[2]))
else:
    {"echo": echo, "judge": judge}[sys.argv[1]]()
