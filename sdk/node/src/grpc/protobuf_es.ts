/** Owns serving and calling with grpc-js what protobuf-es generates: it has messages and descriptors, and no stubs for grpc-js. */
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  Client,
  Metadata,
  type CallOptions,
  type ChannelCredentials,
  type ClientDuplexStream,
  type ClientOptions,
  type ClientReadableStream,
  type ClientWritableStream,
  type MethodDefinition,
  type ServiceDefinition,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
} from "@grpc/grpc-js";

import { refusalOf } from "./status.js";

type In<M> = M extends { input: infer I extends DescMessage } ? MessageShape<I> : never;
type InInit<M> = M extends { input: infer I extends DescMessage } ? MessageInitShape<I> : never;
type Out<M> = M extends { output: infer O extends DescMessage } ? MessageShape<O> : never;
type Methods<S extends DescService> = S["method"];
type Kind<M> = M extends { methodKind: infer K } ? K : never;

/** What a method's handler is, as grpc-js calls it. */
type Handler<M> = {
  unary: handleUnaryCall<In<M>, Out<M>>;
  server_streaming: handleServerStreamingCall<In<M>, Out<M>>;
  client_streaming: handleClientStreamingCall<In<M>, Out<M>>;
  bidi_streaming: handleBidiStreamingCall<In<M>, Out<M>>;
}[Kind<M> & DescMethod["methodKind"]];

/** The handlers of a service, by the names of its methods in lower camel case. */
export type Handlers<S extends DescService> = { [M in keyof Methods<S>]: Handler<Methods<S>[M]> };

/** What a call may have beside its message. */
export type ClientCallOptions = CallOptions & {
  /** The headers of the call. */
  readonly metadata?: Metadata | undefined;
};

/** How a method is called. */
type Caller<M> = {
  unary: (request: InInit<M>, options?: ClientCallOptions) => Promise<Out<M>>;
  server_streaming: (request: InInit<M>, options?: ClientCallOptions) => ClientReadableStream<Out<M>>;
  client_streaming: (
    answered: (error: Error | null, response?: Out<M>) => void,
    options?: ClientCallOptions,
  ) => ClientWritableStream<In<M>>;
  bidi_streaming: (options?: ClientCallOptions) => ClientDuplexStream<In<M>, Out<M>>;
}[Kind<M> & DescMethod["methodKind"]];

/** A client of a service: its methods in lower camel case. Unary ones reject with a `Refusal`. */
export type ClientOf<S extends DescService> = { [M in keyof Methods<S>]: Caller<Methods<S>[M]> } & {
  /** Closes the connections. */
  close(): void;
};

/** The method as grpc-js has it. */
export function methodDefinition(method: DescMethod): MethodDefinition<object, object> {
  const serialize = (schema: DescMessage) => (message: object) =>
    Buffer.from(toBinary(schema, create(schema, message as MessageInitShape<DescMessage>)));
  const deserialize = (schema: DescMessage) => (bytes: Buffer) => fromBinary(schema, bytes);
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    originalName: method.localName,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: serialize(method.input),
    requestDeserialize: deserialize(method.input),
    responseSerialize: serialize(method.output),
    responseDeserialize: deserialize(method.output),
  };
}

/**
 * The service as `Server.addService` takes it.
 *
 * @example
 * ```ts
 * server.addService(serviceDefinition(StockService), handlers);
 * ```
 */
export function serviceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method)]));
}

/** A client of `service` at `target`. */
export function createClient<S extends DescService>(
  service: S,
  target: string,
  credentials: ChannelCredentials,
  options: ClientOptions = {},
): ClientOf<S> {
  const client = new Client(target, credentials, options);
  const methods = service.methods.map((method) => [method.localName, caller(client, method)] as const);
  const close = (): void => {
    client.close();
  };
  return { ...Object.fromEntries(methods), close } as ClientOf<S>;
}

function caller(client: Client, method: DescMethod): unknown {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  const split = ({ metadata = new Metadata(), ...options }: ClientCallOptions = {}) => ({ metadata, options });
  switch (method.methodKind) {
    case "unary":
      return (request: object, given?: ClientCallOptions) =>
        new Promise((resolve, reject) => {
          const { metadata, options } = split(given);
          client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, options, (error, response) => {
            if (error === null) resolve(response);
            else reject(refusalOf(error) ?? error);
          });
        });
    case "server_streaming":
      return (request: object, given?: ClientCallOptions) => {
        const { metadata, options } = split(given);
        return client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadata, options);
      };
    case "client_streaming":
      return (answered: (error: Error | null, response?: object) => void, given?: ClientCallOptions) => {
        const { metadata, options } = split(given);
        return client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, metadata, options, answered);
      };
    case "bidi_streaming":
      return (given?: ClientCallOptions) => {
        const { metadata, options } = split(given);
        return client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, options);
      };
  }
}
