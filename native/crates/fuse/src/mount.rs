//! Mounting and unmounting.
//!
//! As root: open /dev/fuse and mount(2). Otherwise fusermount3, a set-user-id program of the system, does both and hands the
//! descriptor over a socket that it finds in _FUSE_COMMFD (fusermount3(1)).
//!
//! These calls block: mount and umount may resolve paths, and write pages back, through a file system that this very process
//! serves. They must run off the thread that answers requests.

use crate::error::{FuseError, last_errno};
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

const HELPER: &str = "fusermount3";
const DEVICE: &str = "/dev/fuse";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// mount(2) for root, the helper for others.
    Automatic,
    Direct,
    Helper,
}

#[derive(Clone, Debug)]
pub struct MountOptions {
    /// What /proc/mounts shows as the device; no commas with the helper.
    pub source: String,
    pub mountpoint: String,
    /// The part after "fuse." of the type in /proc/mounts; empty for plain "fuse".
    pub subtype: String,
    pub read_only: bool,
    pub allow_other: bool,
    pub default_permissions: bool,
    pub no_dev: bool,
    pub no_suid: bool,
    pub no_exec: bool,
    /// st_mode of the root: its file type bits are what counts.
    pub root_mode: u32,
    /// Who owns the mount: without allow_other only this user may enter it.
    pub uid: u32,
    pub gid: u32,
    /// 0: as large as the kernel likes.
    pub max_read: u32,
    pub method: Method,
}

#[derive(Clone, Debug)]
pub struct UnmountOptions {
    pub mountpoint: String,
    /// MNT_DETACH: out of the tree now, gone when the last user is.
    pub lazy: bool,
    /// MNT_FORCE: abort the connection, so that waiting requests fail and nothing is written back.
    pub force: bool,
    pub method: Method,
}

/// Mounts, and gives the /dev/fuse descriptor (close-on-exec, non-blocking) that the caller owns.
pub fn mount(options: &MountOptions) -> Result<RawFd, FuseError> {
    let fd = if uses_helper(options.method) { mount_by_helper(options)? } else { mount_directly(options)? };
    Ok(fd.into_raw_fd())
}

pub fn unmount(options: &UnmountOptions) -> Result<(), FuseError> {
    if uses_helper(options.method) { unmount_by_helper(options) } else { unmount_directly(options) }
}

fn uses_helper(method: Method) -> bool {
    match method {
        Method::Direct => false,
        Method::Helper => true,
        // SAFETY: geteuid has no preconditions and cannot fail.
        Method::Automatic => (unsafe { libc::geteuid() }) != 0,
    }
}

fn c_string(text: &str, what: &str) -> Result<CString, FuseError> {
    CString::new(text).map_err(|_| FuseError::new(libc::EINVAL, format_args!("{what} holds a NUL byte")))
}

fn mount_directly(options: &MountOptions) -> Result<OwnedFd, FuseError> {
    let device = c_string(DEVICE, "device")?;
    // SAFETY: the path is a C string; the flags need no mode.
    let fd = unsafe { libc::open(device.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK) };
    if fd < 0 {
        return Err(FuseError::last(format_args!("open {DEVICE} (is the fuse module loaded?)")));
    }
    // SAFETY: fd was opened just now and belongs to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let source = c_string(&options.source, "source")?;
    let target = c_string(&options.mountpoint, "mountpoint")?;
    let kind = if options.subtype.is_empty() { "fuse".to_owned() } else { format!("fuse.{}", options.subtype) };
    let kind = c_string(&kind, "subtype")?;
    let data = c_string(&kernel_options(options, fd.as_raw_fd()), "options")?;
    // SAFETY: all four are C strings that outlive the call.
    let result = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), mount_flags(options), data.as_ptr().cast()) };
    if result != 0 {
        return Err(FuseError::last(format_args!("mount {} on {}", options.source, options.mountpoint)));
    }
    Ok(fd)
}

fn kernel_options(options: &MountOptions, fd: RawFd) -> String {
    let mut data = format!("fd={fd},rootmode={:o},user_id={},group_id={}", options.root_mode & libc::S_IFMT, options.uid, options.gid);
    if options.default_permissions {
        data.push_str(",default_permissions");
    }
    if options.allow_other {
        data.push_str(",allow_other");
    }
    if options.max_read != 0 {
        data.push_str(&format!(",max_read={}", options.max_read));
    }
    data
}

fn mount_flags(options: &MountOptions) -> libc::c_ulong {
    let mut flags = 0;
    for (wanted, flag) in [
        (options.read_only, libc::MS_RDONLY),
        (options.no_dev, libc::MS_NODEV),
        (options.no_suid, libc::MS_NOSUID),
        (options.no_exec, libc::MS_NOEXEC),
    ] {
        if wanted {
            flags |= flag;
        }
    }
    flags
}

fn helper_options(options: &MountOptions) -> Result<String, FuseError> {
    if options.source.contains(',') || options.source.contains('\\') {
        return Err(FuseError::new(libc::EINVAL, format_args!("source {} holds a comma or backslash", options.source)));
    }
    let mut list = vec![format!("fsname={}", options.source)];
    if !options.subtype.is_empty() {
        list.push(format!("subtype={}", options.subtype));
    }
    for (wanted, name) in [
        (options.read_only, "ro"),
        (options.no_dev, "nodev"),
        (options.no_suid, "nosuid"),
        (options.no_exec, "noexec"),
        (options.default_permissions, "default_permissions"),
        (options.allow_other, "allow_other"),
    ] {
        if wanted {
            list.push(name.to_owned());
        }
    }
    if options.max_read != 0 {
        list.push(format!("max_read={}", options.max_read));
    }
    Ok(list.join(","))
}

fn mount_by_helper(options: &MountOptions) -> Result<OwnedFd, FuseError> {
    let list = helper_options(options)?;
    let (ours, theirs) = socket_pair()?;
    let number = theirs.as_raw_fd();
    let mut command = Command::new(HELPER);
    command.arg("-o").arg(list).arg("--").arg(&options.mountpoint);
    command.env("_FUSE_COMMFD", number.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // SAFETY: between fork and exec only fcntl runs, which is async-signal-safe; it clears close-on-exec for the helper's end.
    unsafe {
        command.pre_exec(move || {
            if libc::fcntl(number, libc::F_SETFD, 0) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let child = command.spawn().map_err(|error| helper_missing(&error))?;
    // Without our copy of its end, a helper that dies early ends the wait below.
    drop(theirs);
    let received = receive_fd(&ours);
    let output = child.wait_with_output().map_err(|error| FuseError::new(error.raw_os_error().unwrap_or(libc::EIO), HELPER))?;
    match received {
        Ok(fd) if output.status.success() => Ok(fd),
        _ => Err(helper_failed(&options.mountpoint, &output.stderr)),
    }
}

fn unmount_directly(options: &UnmountOptions) -> Result<(), FuseError> {
    let target = c_string(&options.mountpoint, "mountpoint")?;
    let mut flags = libc::UMOUNT_NOFOLLOW;
    if options.lazy {
        flags |= libc::MNT_DETACH;
    }
    if options.force {
        flags |= libc::MNT_FORCE;
    }
    // SAFETY: the target is a C string that outlives the call.
    if unsafe { libc::umount2(target.as_ptr(), flags) } != 0 {
        return Err(FuseError::last(format_args!("unmount {}", options.mountpoint)));
    }
    Ok(())
}

fn unmount_by_helper(options: &UnmountOptions) -> Result<(), FuseError> {
    let mut command = Command::new(HELPER);
    command.arg("-u");
    if options.lazy || options.force {
        command.arg("-z");
    }
    command.arg("--").arg(&options.mountpoint).stdin(Stdio::null());
    let output = command.output().map_err(|error| helper_missing(&error))?;
    if output.status.success() { Ok(()) } else { Err(helper_failed(&options.mountpoint, &output.stderr)) }
}

fn helper_missing(error: &std::io::Error) -> FuseError {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    FuseError::new(errno, format_args!("run {HELPER} (install fuse3, or mount as root)"))
}

/// The helper has no errno for us; its own words are the cause.
fn helper_failed(mountpoint: &str, stderr: &[u8]) -> FuseError {
    let words = String::from_utf8_lossy(stderr);
    let errno = if words.contains("not found in") || words.contains("Invalid argument") {
        libc::EINVAL
    } else if words.contains("busy") {
        libc::EBUSY
    } else {
        libc::EPERM
    };
    FuseError::told(errno, format!("{HELPER} {mountpoint}: {}", words.trim()))
}

fn socket_pair() -> Result<(OwnedFd, OwnedFd), FuseError> {
    let mut fds = [0; 2];
    // SAFETY: fds has room for the two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) } != 0 {
        return Err(FuseError::last("socket pair for the mount helper"));
    }
    // SAFETY: both were made just now and belong to nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Room for one control message with one descriptor: CMSG_SPACE(4) is 24 on 64-bit Linux; aligned as cmsghdr wants.
#[repr(C, align(8))]
struct Control([u8; 64]);

fn receive_fd(socket: &OwnedFd) -> Result<OwnedFd, FuseError> {
    let mut byte = [0u8; 1];
    let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = Control([0; 64]);
    // SAFETY: msghdr is plain data for which all zeroes is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    loop {
        // SAFETY: message points at live buffers of the lengths it states.
        let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) };
        if length > 0 {
            break;
        }
        if length == 0 {
            return Err(FuseError::new(libc::EPERM, "the mount helper gave no descriptor"));
        }
        if last_errno() != libc::EINTR {
            return Err(FuseError::last("receive the FUSE descriptor"));
        }
    }
    // SAFETY: recvmsg filled the control buffer; CMSG_FIRSTHDR checks its length, and the fields are read only when it is whole.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&message);
        if header.is_null() || (*header).cmsg_level != libc::SOL_SOCKET || (*header).cmsg_type != libc::SCM_RIGHTS {
            return Err(FuseError::new(libc::EPROTO, "the mount helper sent no descriptor"));
        }
        let fd = libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned();
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(mountpoint: &str, method: Method) -> MountOptions {
        MountOptions {
            source: "cfs".into(),
            mountpoint: mountpoint.into(),
            subtype: "cfs".into(),
            read_only: true,
            allow_other: true,
            default_permissions: true,
            no_dev: true,
            no_suid: true,
            no_exec: false,
            root_mode: libc::S_IFDIR | 0o755,
            uid: 1,
            gid: 2,
            max_read: 1 << 20,
            method,
        }
    }

    #[test]
    fn options_become_what_the_kernel_and_the_helper_read() {
        let options = options("/m", Method::Direct);
        assert_eq!(
            kernel_options(&options, 7),
            "fd=7,rootmode=40000,user_id=1,group_id=2,default_permissions,allow_other,max_read=1048576"
        );
        assert_eq!(mount_flags(&options), libc::MS_RDONLY | libc::MS_NODEV | libc::MS_NOSUID);
        let list = helper_options(&options).expect("valid");
        assert_eq!(list, "fsname=cfs,subtype=cfs,ro,nodev,nosuid,default_permissions,allow_other,max_read=1048576");
    }

    #[test]
    fn a_comma_cannot_smuggle_an_option() {
        let mut options = options("/m", Method::Helper);
        options.source = "a,suid".into();
        assert_eq!(helper_options(&options).map_err(|error| error.errno), Err(libc::EINVAL));
    }

    #[test]
    fn a_missing_mountpoint_is_named() {
        let error = mount(&options("/nonexistent-cfs", Method::Direct)).expect_err("no such directory");
        assert!(error.message.contains("/nonexistent-cfs") || error.message.contains(DEVICE), "{}", error.message);
        let gone = UnmountOptions { mountpoint: "/nonexistent-cfs".into(), lazy: true, force: false, method: Method::Direct };
        assert!(unmount(&gone).expect_err("not mounted").message.contains("/nonexistent-cfs"));
    }

    #[test]
    fn descriptors_travel_over_the_socket() {
        let (ours, theirs) = socket_pair().expect("pair");
        drop(theirs);
        assert_eq!(receive_fd(&ours).map(|_| ()).map_err(|error| error.errno), Err(libc::EPERM));
    }
}
