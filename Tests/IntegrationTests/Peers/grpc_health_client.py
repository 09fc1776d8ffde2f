"""Stock clients of gRPC's health and reflection. usage: grpc_health_client.py HOST:PORT SCENARIO

Prints what it saw as one line of JSON; the Swift test judges it.
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

ADDRESS, SCENARIO = sys.argv[1], sys.argv[2]
TIMEOUT = 30


def name_of(response):
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


def health(channel):
    """What Check says of each service, and List of all."""
    stub = health_pb2_grpc.HealthStub(channel)
    seen = {}
    for service in ["", "kitchen", "kitchen.Kitchen", "Kitchen", "nobody"]:
        try:
            request = health_pb2.HealthCheckRequest(service=service)
            seen[service] = name_of(stub.Check(request, timeout=TIMEOUT))
        except grpc.RpcError as error:
            seen[service] = error.code().name
    listed = stub.List(health_pb2.HealthListRequest(), timeout=TIMEOUT).statuses
    return {"checked": seen, "listed": {key: name_of(value) for key, value in listed.items()}}


def watch(channel, service):
    """All that Watch tells, up to its end."""
    stub = health_pb2_grpc.HealthStub(channel)
    statuses = []
    for response in stub.Watch(health_pb2.HealthCheckRequest(service=service)):
        statuses.append(name_of(response))
        print(f"told {statuses[-1]}")
    return statuses


def stripped(file):
    """A file without what compilers and copies of it differ in."""
    plain = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(plain)
    plain.ClearField("name")
    plain.ClearField("options")
    for message in plain.message_type:
        for field in message.field:
            field.ClearField("json_name")
        for nested in message.nested_type:
            for field in nested.field:
                field.ClearField("json_name")
    return plain


def reflection(channel):
    """The services, and whether the files of the stock packages are those of the server."""
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = descriptor_pool.DescriptorPool(database)
    own = {
        "grpc.health.v1.Health": health_pb2.DESCRIPTOR,
        "grpc.reflection.v1alpha.ServerReflection": reflection_pb2.DESCRIPTOR,
    }
    same = {}
    for service, expected in own.items():
        theirs, ours = stripped(expected), stripped(pool.FindServiceByName(service).file)
        same[service] = "" if theirs == ours else f"{theirs}\n--- but ---\n{ours}"
    method = pool.FindServiceByName("grpc.health.v1.Health").methods_by_name["Check"]
    request = message_factory.GetMessageClass(method.input_type)(service="kitchen")
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString)
    try:
        pool.FindServiceByName("kitchen.Kitchen")
        missing = "found"
    except KeyError:
        missing = "missing"
    return {
        "services": list(database.get_services()),
        "differences": same,
        "checked": str(call(request, timeout=TIMEOUT)).strip(),
        "undescribed": missing,
    }


with grpc.insecure_channel(ADDRESS) as connection:
    if SCENARIO == "watch":
        result = watch(connection, sys.argv[3])
    else:
        result = {"health": health, "reflection": reflection}[SCENARIO](connection)
    print(json.dumps(result))
