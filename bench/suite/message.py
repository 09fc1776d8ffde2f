"""The messages that are echoed, as bench/proto/echo.proto has them, and as gRPC frames them."""

import json
import os

ID = 12345


def note(size):
    """A `Note` whose encoding has exactly `size` bytes: id 12345, the text filled up with x."""
    head = b"\x08" + varint(ID) + b"\x12"
    for length in range(size - len(head) - 1, -1, -1):
        encoded = head + varint(length) + b"x" * length
        if len(encoded) == size:
            return encoded
    raise ValueError(f"no Note has {size} bytes")


def json_note(size):
    """The same in JSON, also of `size` bytes."""
    empty = json.dumps({"id": ID, "text": ""}, separators=(",", ":"))
    if size < len(empty):
        raise ValueError(f"no Note has {size} bytes in JSON")
    return empty.replace('""', '"' + "x" * (size - len(empty)) + '"').encode()


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def framed(message):
    return b"\x00" + len(message).to_bytes(4, "big") + message


def write_files(folder):
    """The bodies of requests, and the files that servers of files serve."""
    os.makedirs(folder, exist_ok=True)
    for size in (32, 4096):
        _write(folder, f"{size}.grpc", framed(note(size)))
        _write(folder, f"{size}.json.grpc", framed(json_note(size)))
        _write(folder, f"{size}.bin", framed(note(size)))


def _write(folder, name, data):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o644)
