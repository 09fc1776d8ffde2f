"""The messages of grpc.testing, from the .proto files of micro-interop.

Python's generated code would be in a package called grpc: that is grpcio itself. So the classes are
made of what protoc describes.
"""

import os
import subprocess
import tempfile
import zlib

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = os.path.dirname(os.path.realpath(__file__)) + "/../../.."
PROTOS = os.path.normpath(ROOT + "/Sources/Interop/Protos")


def load():
    """A dictionary from "SimpleRequest" to its class."""
    with tempfile.TemporaryDirectory() as folder:
        described = folder + "/set"
        subprocess.run(
            ["protoc", "-I", PROTOS, "--include_imports", "--descriptor_set_out", described,
             "grpc/testing/test.proto"], check=True)
        with open(described, "rb") as file:
            files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return {message.name: message_factory.GetMessageClass(
                pool.FindMessageTypeByName(f"{file.package}.{message.name}"))
            for file in files.file for message in file.message_type}


MESSAGES = load()

# With it grpcio hands out messages as they came, and does not hide whether they were compressed.
AS_THEY_COME = ("grpc.per_message_decompression", 0)


class Received:
    """A message, and whether it came compressed. No message of grpc.testing begins as gzip does."""

    def __init__(self, name, data):
        self.compressed = data[:2] == b"\x1f\x8b"
        if self.compressed:
            data = zlib.decompress(data, wbits=31)
        self.message = MESSAGES[name].FromString(data)


def receiving(name):
    return lambda data: Received(name, data)


def sending(message):
    return message.SerializeToString()


# Method -> (the two messages, whether requests and replies are many).
METHODS = {
    "EmptyCall": ("Empty", "Empty", False, False),
    "UnaryCall": ("SimpleRequest", "SimpleResponse", False, False),
    "StreamingOutputCall":
        ("StreamingOutputCallRequest", "StreamingOutputCallResponse", False, True),
    "StreamingInputCall": ("StreamingInputCallRequest", "StreamingInputCallResponse", True, False),
    "FullDuplexCall": ("StreamingOutputCallRequest", "StreamingOutputCallResponse", True, True),
    "HalfDuplexCall": ("StreamingOutputCallRequest", "StreamingOutputCallResponse", True, True),
}

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
