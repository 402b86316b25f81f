/** How many random cases a property tries: CFS_RUNS multiplies the usual number, for a long search. */
export function runs(usual: number): number {
  return Math.ceil(usual * Number(process.env["CFS_RUNS"] ?? 1));
}
