"""A stock gRPC server with protobuf messages, health and reflection. Prints "port N"; serves until
its input ends.

/zoo.Zoo/Echo answers with the message and, in `json`, what protobuf's own JSON mapping makes of it;
Fail as asked; Count (many replies), Sum (many requests), Chat (both). zoo.Zoo is NOT_SERVING; each
line of the input changes that: "SERVING".
"""

import sys
from concurrent import futures

import grpc
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    json_format,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

FIELD = descriptor_pb2.FieldDescriptorProto
SCALARS = ("double float int64 uint64 int32 fixed64 fixed32 bool string bytes uint32 sfixed32"
           " sfixed64 sint32 sint64").split()
WELL_KNOWN = {
    "any": any_pb2.Any, "timestamp": timestamp_pb2.Timestamp, "duration": duration_pb2.Duration,
    "mask": field_mask_pb2.FieldMask, "struct": struct_pb2.Struct, "value": struct_pb2.Value,
    "list": struct_pb2.ListValue, "empty": empty_pb2.Empty, "wrapped": wrappers_pb2.Int64Value,
}


def add(message, name, number, kind, type_name=None, repeated=False, **more):
    message.field.add(
        name=name, number=number, type=getattr(FIELD, f"TYPE_{kind.upper()}"),
        label=FIELD.LABEL_REPEATED if repeated else FIELD.LABEL_OPTIONAL, type_name=type_name,
        **more)


def zoo():
    """The file of the service, over two others: one more than is asked for by name."""
    animal = descriptor_pb2.FileDescriptorProto(
        name="animal.proto", package="zoo", syntax="proto3")
    kind = animal.enum_type.add(name="Kind")
    for number, name in enumerate(["KIND_UNKNOWN", "CAT", "DOG"]):
        kind.value.add(name=name, number=number)
    message = animal.message_type.add(name="Animal")
    add(message, "display_name", 1, "string")
    add(message, "kind", 2, "enum", ".zoo.Kind")

    file = descriptor_pb2.FileDescriptorProto(name="zoo.proto", package="zoo", syntax="proto3")
    file.dependency.append("animal.proto")
    everything = file.message_type.add(name="Everything")
    for number, name in enumerate(SCALARS, 1):
        add(everything, f"a_{name}", number, name)
        add(everything, f"many_{name}", number + 100, name, repeated=True)
    for number, (name, known) in enumerate(WELL_KNOWN.items(), 50):
        add(everything, f"wk_{name}", number, "message", f".{known.DESCRIPTOR.full_name}")
        path = known.DESCRIPTOR.file.name
        if path not in file.dependency:
            file.dependency.append(path)
    add(everything, "animal", 20, "message", ".zoo.Animal")
    add(everything, "animals", 21, "message", ".zoo.Everything.AnimalsEntry", repeated=True)
    entry = everything.nested_type.add(name="AnimalsEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, "int32")
    add(entry, "value", 2, "message", ".zoo.Animal")
    everything.oneof_decl.add(name="choice")
    add(everything, "text", 22, "string", oneof_index=0)
    add(everything, "pet", 23, "message", ".zoo.Animal", oneof_index=0)
    echoed = file.message_type.add(name="Echoed")
    add(echoed, "message", 1, "message", ".zoo.Everything")
    add(echoed, "json", 2, "string")
    number = file.message_type.add(name="Number")
    add(number, "value", 1, "int64")

    service = file.service.add(name="Zoo")
    for name, input_type, output_type, many_in, many_out in [
            ("Echo", "Everything", "Echoed", False, False),
            ("Fail", "Number", "Number", False, False),
            ("Count", "Number", "Number", False, True),
            ("Sum", "Number", "Number", True, False),
            ("Chat", "Number", "Number", True, True)]:
        service.method.add(
            name=name, input_type=f".zoo.{input_type}", output_type=f".zoo.{output_type}",
            client_streaming=many_in, server_streaming=many_out)
    return [animal, file]


POOL = descriptor_pool.Default()
for described in zoo():
    POOL.Add(described)
SERVICE = POOL.FindServiceByName("zoo.Zoo")
Echoed, Number = (
    message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"zoo.{name}"))
    for name in ("Echoed", "Number"))


def echo(request, context):
    return Echoed(message=request, json=json_format.MessageToJson(request))


def fail(request, context):
    context.abort(next(code for code in grpc.StatusCode if code.value[0] == request.value), "asked")


def count(request, context):
    for value in range(request.value):
        yield Number(value=value)


def add_up(requests, context):
    return Number(value=sum(request.value for request in requests))


def chat(requests, context):
    for request in requests:
        yield Number(value=2 * request.value)


HANDLERS = {"Echo": echo, "Fail": fail, "Count": count, "Sum": add_up, "Chat": chat}


def handler(method):
    kind = "_".join(
        "stream" if streams else "unary"
        for streams in (method.client_streaming, method.server_streaming))
    return getattr(grpc, f"{kind}_rpc_method_handler")(
        HANDLERS[method.name],
        request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
        response_serializer=lambda message: message.SerializeToString())


server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
    "zoo.Zoo", {method.name: handler(method) for method in SERVICE.methods}),))
statuses = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(statuses, server)
statuses.set("zoo.Zoo", health_pb2.HealthCheckResponse.NOT_SERVING)
reflection.enable_server_reflection(
    ["zoo.Zoo", health.SERVICE_NAME, reflection.SERVICE_NAME], server, POOL)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(f"port {port}")
for line in sys.stdin:
    statuses.set("zoo.Zoo", health_pb2.HealthCheckResponse.ServingStatus.Value(line.strip()))
server.stop(None).wait()
