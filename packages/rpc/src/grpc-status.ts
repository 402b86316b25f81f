/**
 * CfsErrors as gRPC statuses and back.
 *
 * Trailers: `grpc-status` (a number), `grpc-message` (UTF-8, percent-encoded), `cfs-error-code` (our code, so that nothing is lost between
 * two parts of cfs). Invariant: the table is total, a new code does not compile until it has a status.
 * Source: the gRPC over HTTP/2 protocol description; the status codes of grpc.
 */
import { CfsError, errnoByCode } from "@cfs/core";
import type { ErrorCode } from "@cfs/core";

export const grpcStatus = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type GrpcStatus = (typeof grpcStatus)[keyof typeof grpcStatus];

export const grpcStatusByCode: Readonly<Record<ErrorCode, GrpcStatus>> = {
  NOT_PERMITTED: grpcStatus.PERMISSION_DENIED,
  NOT_FOUND: grpcStatus.NOT_FOUND,
  INTERRUPTED: grpcStatus.CANCELLED,
  IO: grpcStatus.INTERNAL,
  NO_DEVICE: grpcStatus.NOT_FOUND,
  TOO_BIG: grpcStatus.OUT_OF_RANGE,
  BAD_HANDLE: grpcStatus.FAILED_PRECONDITION,
  AGAIN: grpcStatus.RESOURCE_EXHAUSTED,
  NO_MEMORY: grpcStatus.RESOURCE_EXHAUSTED,
  ACCESS_DENIED: grpcStatus.PERMISSION_DENIED,
  BUSY: grpcStatus.FAILED_PRECONDITION,
  EXISTS: grpcStatus.ALREADY_EXISTS,
  CROSS_DEVICE: grpcStatus.INVALID_ARGUMENT,
  NOT_DIRECTORY: grpcStatus.FAILED_PRECONDITION,
  IS_DIRECTORY: grpcStatus.FAILED_PRECONDITION,
  INVALID: grpcStatus.INVALID_ARGUMENT,
  TEXT_BUSY: grpcStatus.FAILED_PRECONDITION,
  FILE_TOO_LARGE: grpcStatus.OUT_OF_RANGE,
  NO_SPACE: grpcStatus.RESOURCE_EXHAUSTED,
  READ_ONLY: grpcStatus.FAILED_PRECONDITION,
  TOO_MANY_LINKS: grpcStatus.FAILED_PRECONDITION,
  RANGE: grpcStatus.OUT_OF_RANGE,
  DEADLOCK: grpcStatus.ABORTED,
  NAME_TOO_LONG: grpcStatus.INVALID_ARGUMENT,
  NOT_IMPLEMENTED: grpcStatus.UNIMPLEMENTED,
  NOT_EMPTY: grpcStatus.FAILED_PRECONDITION,
  SYMLINK_LOOP: grpcStatus.FAILED_PRECONDITION,
  NO_DATA: grpcStatus.NOT_FOUND,
  OVERFLOW: grpcStatus.OUT_OF_RANGE,
  NOT_SUPPORTED: grpcStatus.UNIMPLEMENTED,
  ADDRESS_IN_USE: grpcStatus.UNAVAILABLE,
  TIMED_OUT: grpcStatus.DEADLINE_EXCEEDED,
  UNREACHABLE: grpcStatus.UNAVAILABLE,
  STALE_HANDLE: grpcStatus.ABORTED,
  CORRUPT: grpcStatus.DATA_LOSS,
  QUOTA: grpcStatus.RESOURCE_EXHAUSTED,
};

/** For peers that send no cfs-error-code: other gRPC implementations and proxies. */
const codeByGrpcStatus: Readonly<Record<Exclude<GrpcStatus, 0>, ErrorCode>> = {
  1: "INTERRUPTED",
  2: "IO",
  3: "INVALID",
  4: "TIMED_OUT",
  5: "NOT_FOUND",
  6: "EXISTS",
  7: "ACCESS_DENIED",
  8: "AGAIN",
  9: "INVALID",
  10: "STALE_HANDLE",
  11: "RANGE",
  12: "NOT_IMPLEMENTED",
  13: "IO",
  14: "UNREACHABLE",
  15: "CORRUPT",
  16: "ACCESS_DENIED",
};

export type StatusTrailers = Readonly<Record<"grpc-status", string> & Partial<Record<"grpc-message" | "cfs-error-code", string>>>;

/** A longer message is cut: peers limit the size of headers to 8 or 16 KiB. */
const messageCharsMax = 1024;

export function trailersOf(error: CfsError | null): StatusTrailers {
  if (error === null) return { "grpc-status": "0" };
  return {
    "grpc-status": String(grpcStatusByCode[error.code]),
    "grpc-message": encodeGrpcMessage(bareMessage(error).slice(0, messageCharsMax)),
    "cfs-error-code": error.code,
  };
}

/** The error that trailers carry, or null for OK. `doing` says what failed, such as "Status at 127.0.0.1:9400". */
export function errorOfTrailers(trailers: Readonly<Record<string, unknown>>, doing: string): CfsError | null {
  const text = trailers["grpc-status"];
  if (text === "0") return null;
  const message = decodeGrpcMessage(String(trailers["grpc-message"] ?? ""));
  const own = trailers["cfs-error-code"];
  if (typeof own === "string" && Object.hasOwn(errnoByCode, own)) {
    return new CfsError(own as ErrorCode, `${doing}: ${message}`);
  }
  const status = Number(text) as GrpcStatus;
  const code = status in codeByGrpcStatus ? codeByGrpcStatus[status as Exclude<GrpcStatus, 0>] : "IO";
  return new CfsError(code, `${doing}: ${message === "" ? "failed" : message} (grpc-status ${String(text ?? "missing")})`);
}

/** A CfsError's message without the "CODE: " that its constructor put in front. */
function bareMessage(error: CfsError): string {
  const prefix = `${error.code}: `;
  return error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message;
}

/** Space to "~" without "%" stay; every other byte of the UTF-8 text becomes %XX. */
export function encodeGrpcMessage(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(/%(?:2[0-46-9A-F]|3[A-F]|40|5[B-E]|60|7[B-E])/g, (escaped) =>
    decodeURIComponent(escaped),
  );
}

/** What is not valid percent-encoding is taken as it is: a message is for people and must not fail. */
export function decodeGrpcMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}
