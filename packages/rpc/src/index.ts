/** @cfs/rpc: the hot stream, unary gRPC, and the transport that tests use. */
export { Http2Transport } from "./http2-transport.ts";
export type { Http2TransportOptions, Http2TransportParts } from "./http2-transport.ts";
export { limits } from "./limits.ts";
export { RpcServer } from "./rpc-server.ts";
export type { Route, RpcServerOptions, RpcServerParts } from "./rpc-server.ts";
export { addressText, plainPayloadPool } from "./transport.ts";
export type { Address, Connection, ConnectOptions, Frame, Listener, PayloadPool, ReceivedFrame, Transport } from "./transport.ts";
export { adminService } from "./admin-service.ts";
export type {
  AdminService,
  Drive,
  DriveAddRequest,
  DriveListReply,
  DriveListRequest,
  DriveRemoveRequest,
  DriveReplaceRequest,
  DriveReply,
  DriveState,
  FsckProgress,
  FsckRequest,
  ScrubProgress,
  ScrubRequest,
  ShutdownReply,
  ShutdownRequest,
  StatusReply,
  StatusRequest,
} from "./admin-service.ts";
export { grpcStatus, grpcStatusByCode } from "./grpc-status.ts";
export { MemoryTransport } from "./memory-transport.ts";
export type { MemoryTransportParts } from "./memory-transport.ts";
export { localConnectName } from "./local-socket.ts";
export { pidSpace } from "./pid-space.ts";
export { messageCodec, protoFiles } from "./schema.ts";
export type { MessageCodec } from "./schema.ts";
export type { CallContext, Handler, Handlers, Method, ServerStreamMethod, UnaryMethod } from "./service.ts";
export type { JsonObject, JsonValue } from "./struct-json.ts";
export { callServerStream, callUnary, UnaryClient } from "./unary-client.ts";
export type { CallOptions, UnaryClientParts } from "./unary-client.ts";
export { serveUnary } from "./unary-server.ts";
