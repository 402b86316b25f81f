/** MemoryKv against the suite for ordered key-value stores. It stands here because metadata must not depend on the testkit. */
import { MemoryKv } from "@cfs/metadata";
import { kvSuite } from "./kv-suite.ts";

kvSuite("MemoryKv", { open: async () => new MemoryKv() });
