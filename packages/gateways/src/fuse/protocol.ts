/**
 * Numbers of the FUSE kernel protocol, version 7.31 to 7.45, as little-endian 64-bit Linux speaks it.
 *
 * Source: include/uapi/linux/fuse.h. All structures are padded to 8 bytes; sizes here are of fixed parts, in bytes.
 */
export const protocolMajor = 7;
/** The newest minor version that this session knows. */
export const protocolMinor = 45;
/** Older kernels (before 5.4) lack what the session counts on. */
export const protocolMinorMin = 31;

/** The kernel's number of the root directory; core's rootInode stands for it above. */
export const rootNodeId = 1;

export const inHeaderBytes = 40;
export const outHeaderBytes = 16;
export const initInBytesMin = 16;
export const initOutBytes = 64;
export const attrBytes = 88;
export const attrOutBytes = 104;
export const entryOutBytes = 128;
export const openOutBytes = 16;
export const direntBytes = 24;
export const statfsOutBytes = 80;
export const statxOutBytes = 288;
export const writeInBytes = 40;

export const opcode = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  getlk: 31,
  setlk: 32,
  setlkw: 33,
  access: 34,
  create: 35,
  interrupt: 36,
  bmap: 37,
  destroy: 38,
  ioctl: 39,
  poll: 40,
  notifyReply: 41,
  batchForget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copyFileRange: 47,
  setupmapping: 48,
  removemapping: 49,
  syncfs: 50,
  tmpfile: 51,
  statx: 52,
  copyFileRange64: 53,
} as const;

/** Bits of init flags; those above 31 travel in flags2. */
export const initFlag = {
  asyncRead: 0,
  atomicTruncate: 3,
  exportSupport: 4,
  bigWrites: 5,
  dontMask: 6,
  autoInvalidateData: 12,
  doReaddirplus: 13,
  readdirplusAuto: 14,
  asyncDirectIo: 15,
  writebackCache: 16,
  parallelDirops: 18,
  posixAcl: 20,
  abortError: 21,
  maxPages: 22,
  cacheSymlinks: 23,
  explicitInvalidateData: 25,
  handleKillprivV2: 28,
  setxattrExtended: 29,
  initExtended: 30,
  hasExpireOnly: 35,
  directIoAllowMmap: 36,
  hasResend: 39,
  requestTimeout: 42,
} as const;

export type InitFlagName = keyof typeof initFlag;

/** fuse_setattr_in.valid */
export const setattrValid = {
  mode: 0x1,
  uid: 0x2,
  gid: 0x4,
  size: 0x8,
  atime: 0x10,
  mtime: 0x20,
  handle: 0x40,
  atimeNow: 0x80,
  mtimeNow: 0x100,
  lockOwner: 0x200,
  ctime: 0x400,
  killSetId: 0x800,
} as const;

/** fuse_open_out.open_flags */
export const openReply = {
  directIo: 0x1,
  keepCache: 0x2,
  cacheDirectory: 0x8,
  noFlush: 0x20,
  parallelDirectWrites: 0x40,
} as const;

/** fuse_open_in.open_flags and fuse_create_in.open_flags */
export const openKillSetId = 0x1;
/** fuse_write_in.write_flags */
export const writeFromCache = 0x1;
export const writeKillSetId = 0x4;
/** fuse_fsync_in.fsync_flags */
export const fsyncDataOnly = 0x1;
/** fuse_setxattr_in.setxattr_flags */
export const setxattrKillSetGid = 0x1;

export const notifyCode = { invalidateInode: 2, invalidateEntry: 3, resend: 7 } as const;

/** open(2) flags of Linux on x86-64 and arm64 that matter here. */
export const openFlag = {
  accessMode: 3,
  readOnly: 0,
  writeOnly: 1,
  readWrite: 2,
  truncate: 0o1000,
  append: 0o2000,
  noAtime: 0o1000000,
} as const;

/** File type bits of st_mode by kind; shifted right by 12 they are the type of a dirent. */
export const typeBitsByKind = {
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
} as const;
