/** @cfs/rpc: the hot stream, unary gRPC, and the transport that tests use. */
export { Http2Transport } from "./http2-transport.ts";
export type { Http2TransportOptions, Http2TransportParts } from "./http2-transport.ts";
export { limits } from "./limits.ts";
export { RpcServer } from "./rpc-server.ts";
export type { Route, RpcServerOptions, RpcServerParts } from "./rpc-server.ts";
export { addressText, plainPayloadPool } from "./transport.ts";
export type {
  Address,
  Connection,
  ConnectOptions,
  Frame,
  Listener,
  PayloadPool,
  ReceivedFrame,
  Transport,
} from "./transport.ts";
