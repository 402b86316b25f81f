/** Memory that the process has freed and its allocator keeps. */
import { loadAddon } from "./binding.ts";

interface MemoryAddon {
  trimMemory(): Promise<boolean>;
}

/** Gives free memory of the allocator back to the kernel, by a thread of the pool. False when there was none. Source: malloc_trim(3). */
export function trimMemory(): Promise<boolean> {
  return (loadAddon() as MemoryAddon).trimMemory();
}
