"""Takes traces by OTLP, over gRPC and over HTTP. Prints where it listens, and then a JSON object for each span."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

PRINTING = Lock()


def say(what):
    with PRINTING:
        print(json.dumps(what), flush=True)


def shown(attributes):
    return {attribute.key: str(getattr(attribute.value, attribute.value.WhichOneof("value"))) for attribute in attributes}


def take(request):
    for resource in request.resource_spans:
        service = shown(resource.resource.attributes).get("service.name")
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            say(
                {
                    "service": service,
                    "name": span.name,
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "begun": span.start_time_unix_nano,
                    "ended": span.end_time_unix_nano,
                }
            )


class Grpc(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        take(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.path == "/v1/traces", self.path
        assert self.headers["content-type"] == "application/x-protobuf"
        take(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
        answer = trace_service_pb2.ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


over_grpc = grpc.server(ThreadPoolExecutor(4))
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Grpc(), over_grpc)
port = over_grpc.add_insecure_port("127.0.0.1:0")
over_grpc.start()
over_http = ThreadingHTTPServer(("127.0.0.1", 0), Http)
say({"grpc": port, "http": over_http.server_port})
try:
    over_http.serve_forever()
except KeyboardInterrupt:
    sys.exit()
