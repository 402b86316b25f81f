/**
 * Tells before anything is done whether an address can be listened on: a start that fails for its address must change nothing on the drives.
 *
 * Between this and the real listen another program may still take it; then the start fails there, with the same error.
 */
import { CfsError } from "@cfs/core";
import { addressText } from "@cfs/rpc";
import type { Address } from "@cfs/rpc";
import { createServer } from "node:net";

export async function checkAddress(address: Address): Promise<void> {
  if (address.port === 0) return;
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (reason: NodeJS.ErrnoException) => reject(addressError(address, reason)));
    server.listen({ host: address.host, port: address.port, exclusive: true }, resolve);
  });
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
}

export function addressError(address: Address, reason: NodeJS.ErrnoException): CfsError {
  const where = addressText(address);
  const options = { cause: reason };
  switch (reason.code) {
    case "EADDRINUSE":
      return new CfsError("ADDRESS_IN_USE", `another program listens on ${where}`, options);
    case "EACCES":
      return new CfsError("ACCESS_DENIED", `this user may not listen on ${where}; ports below 1024 are root's`, options);
    case "EADDRNOTAVAIL":
      return new CfsError(
        "INVALID",
        `${address.host} is no address of this machine; use one that \`ip addr\` shows, or 0.0.0.0 for all`,
        options,
      );
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new CfsError("NOT_FOUND", `the host name ${address.host} is not known`, options);
    default:
      return new CfsError("IO", `cannot listen on ${where}: ${reason.message}`, options);
  }
}
