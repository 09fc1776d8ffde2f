"""grpcio with TLS and certificates on both sides, from PEM files; messages in JSON.

usage: tls_peer.py client HOST:PORT CA CERTIFICATE KEY     calls /vault/Vault.Who, prints the reply
       tls_peer.py server CA CERTIFICATE KEY               prints "port N"; /peer.Peer/Who says who
                                                           calls; serves until its input ends
"""

import json
import sys
from concurrent import futures

import grpc


def read(path):
    with open(path, "rb") as file:
        return file.read()


def call(address, ca, certificate, key):
    credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(certificate))
    with grpc.secure_channel(address, credentials) as channel:
        who = channel.unary_unary(
            "/vault/Vault.Who", lambda message: json.dumps(message).encode(), json.loads)
        print(json.dumps({"replies": [who("?", timeout=30) for _ in range(20)]}))


def who(request, context):
    names = context.auth_context().get("x509_subject_alternative_name", [])
    return json.dumps(sorted(name.decode() for name in names)).encode()


def serve(ca, certificate, key):
    credentials = grpc.ssl_server_credentials(
        [(read(key), read(certificate))], read(ca), require_client_auth=True)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    handlers = {"Who": grpc.unary_unary_rpc_method_handler(who)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("peer.Peer", handlers),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    print(f"port {port}", flush=True)
    sys.stdin.read()
    server.stop(0)


call(*sys.argv[2:]) if sys.argv[1] == "client" else serve(*sys.argv[2:])
