/** Every maximum of this package in one place, each with its reason. A peer that goes past one is disconnected, never served slowly. */
export const limits = {
  /** A head is a request or reply without its bulk: names, attributes, a directory page of 1,000 entries. */
  headBytesMax: 1_048_576,
  /** One write or fragment; the largest request of FUSE is 1 MiB, of a segment's fragment 2 MiB. */
  payloadBytesMax: 4_194_304,
  /** A message is sealed when it reaches this: long enough that the cost of a message does not matter, short enough to interleave. */
  messageBytesTarget: 1_048_576,
  /** The body of a message that is accepted: two of the largest payloads, as the interface promises. */
  messageBytesMax: 8_388_608,
  /** Bounds the objects that a message of empty frames makes on the receiving side. */
  framesPerMessageMax: 4096,
  /** A payload piece below this is copied into the message: a copy of it is cheaper than one more element for writev. */
  inlineBytesMax: 8_192,
  /** `send` refuses with AGAIN past this; callers wait at `drained()` long before. */
  queuedBytesMax: 67_108_864,
  /** `drained()` resolves below this: two bulk messages keep the wire busy. */
  queuedBytesLow: 2_097_152,
  /** Messages of a connection that are given to the HTTP/2 layer and not yet written: one on the wire and one behind it. */
  messagesInFlightMax: 2,
  /** Flow-control window of one stream: what a paused connection may hold in memory. Loopback and 10 Gbit/s at 6 ms are both full with it. */
  streamWindowBytes: 8_388_608,
  /** Window of a whole session: the hot stream and room for admin calls beside it. */
  sessionWindowBytes: 16_777_216,
  /** HTTP/2 DATA frames of up to this. */
  http2FrameBytes: 1_048_576,
  /** Text of the trailers of a local stream. */
  trailerBytesMax: 8_192,
  /** What one read of a local stream takes beside a payload: many small messages, or the head of a large one. */
  localReadBytes: 65_536,
  /** Sockets of one server: every client and node of a large cluster. */
  connectionsMax: 4096,
  /** Streams at once on one session: one hot stream and admin calls. */
  streamsPerSessionMax: 256,
  /** A unary message: admin requests and reports. */
  unaryMessageBytesMax: 4_194_304,
} as const;
