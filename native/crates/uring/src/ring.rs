//! The io_uring engine.
//!
//! Set-up, from the best to the plainest that the kernel takes: SINGLE_ISSUER with DEFER_TASKRUN (completions are worked
//! off when the loop asks for them, not by interrupting it), then COOP_TASKRUN, then none. An eventfd is registered with the
//! ring and watched by the loop. Watching the ring's own descriptor would save its read, but the kernel (6.18) does not wake
//! pollers of the ring when task work is deferred: a lone request would wait for ever.
//!
//! The arena is registered region by region as it comes into use, so that untouched memory is neither pinned nor backed;
//! until the helper thread has backed a region, its requests use plain operations. Where registration is refused (RLIMIT_MEMLOCK), they all do.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use io_uring::{EnterFlags, IoUring, opcode, squeue, types};

use crate::arena::Arena;
use crate::engine::Engine;
use crate::flight::{Flight, Operation};
use crate::signal::Signal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Region {
    Unused,
    Registered,
    Refused,
}

/// See the module. Must stay on the thread that made it.
pub struct Ring {
    ring: IoUring,
    mode: &'static str,
    signal: Signal,
    regions: Vec<Region>,
    arena: Arc<Arena>,
}

impl Ring {
    /// A ring for `slots` requests in flight. ENOSYS and EPERM mean that this machine does not allow io_uring.
    pub fn open(slots: u32, arena: Arc<Arena>) -> io::Result<Self> {
        let (ring, mode) = set_up(slots)?;
        let signal = Signal::new()?;
        ring.submitter().register_eventfd(signal.fd())?;
        let regions = u32::try_from(arena.region_count()).map_err(io::Error::other)?;
        let state = match ring.submitter().register_buffers_sparse(regions) {
            Ok(()) => Region::Unused,
            Err(_) => Region::Refused,
        };
        let _ = arena.is_backed(0);
        Ok(Self { ring, mode, signal, regions: vec![state; regions as usize], arena })
    }

    /// The index of the registered buffer that contains the view, after registering it if need be.
    fn registered(&mut self, view: &libc::iovec) -> Option<u16> {
        let region = self.arena.region_of(view.iov_base.cast(), view.iov_len)?;
        if self.regions[region] == Region::Unused && self.arena.is_backed(region) {
            let _ = self.arena.is_backed(region + 1); // The pool takes low addresses first: this one comes next.
            // SAFETY: the arena outlives the ring, which holds an Arc of it.
            let outcome = unsafe { self.ring.submitter().register_buffers_update(region as u32, &[self.arena.region(region)], None) };
            self.regions[region] = if outcome.is_ok() { Region::Registered } else { Region::Refused };
        }
        (self.regions[region] == Region::Registered).then_some(region as u16)
    }

    fn entry(&mut self, flight: &Flight) -> squeue::Entry {
        let fd = types::Fd(flight.fd);
        let offset = flight.offset();
        let views = flight.views();
        match flight.operation {
            Operation::Read => match views {
                [view] => {
                    let (base, length) = (view.iov_base.cast::<u8>(), view.iov_len as u32);
                    match self.registered(view) {
                        Some(index) => opcode::ReadFixed::new(fd, base, length, index).offset(offset).build(),
                        None => opcode::Read::new(fd, base, length).offset(offset).build(),
                    }
                }
                _ => opcode::Readv::new(fd, views.as_ptr(), views.len() as u32).offset(offset).build(),
            },
            Operation::Write => match views {
                [view] => {
                    let (base, length) = (view.iov_base.cast::<u8>().cast_const(), view.iov_len as u32);
                    match self.registered(view) {
                        Some(index) => opcode::WriteFixed::new(fd, base, length, index).offset(offset).build(),
                        None => opcode::Write::new(fd, base, length).offset(offset).build(),
                    }
                }
                _ => opcode::Writev::new(fd, views.as_ptr(), views.len() as u32).offset(offset).build(),
            },
            Operation::SyncData => opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build(),
            Operation::Allocate | Operation::Punch => {
                opcode::Fallocate::new(fd, flight.remaining()).offset(offset).mode(flight.operation.allocate_mode()).build()
            }
        }
    }

    fn enter(&self, queued: usize, want: u32, flags: EnterFlags) -> io::Result<()> {
        loop {
            // SAFETY: every queued entry points to memory that its flight keeps; there is no argument.
            match unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued as u32, want, flags.bits(), None) } {
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(()),
            }
        }
    }
}

fn set_up(slots: u32) -> io::Result<(IoUring, &'static str)> {
    let deferred =
        IoUring::builder().setup_submit_all().setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().dontfork().build(slots);
    match deferred {
        Ok(ring) => return Ok((ring, "deferred task work")),
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => return Err(error),
        Err(_) => {}
    }
    let cooperative = IoUring::builder().setup_submit_all().setup_coop_taskrun().setup_taskrun_flag().dontfork().build(slots);
    match cooperative {
        Ok(ring) => Ok((ring, "cooperative task work")),
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => Err(error),
        Err(_) => IoUring::builder().dontfork().build(slots).map(|ring| (ring, "plain")),
    }
}

impl Engine for Ring {
    fn kind(&self) -> &'static str {
        "io_uring"
    }

    fn description(&self) -> String {
        let count = self.regions.iter().filter(|region| **region == Region::Registered).count();
        let refused = if self.regions.contains(&Region::Refused) { ", more is refused, see RLIMIT_MEMLOCK" } else { "" };
        let (entries, mode, total) = (self.ring.params().sq_entries(), self.mode, self.regions.len());
        format!("io_uring, {entries} entries, {mode}, {count} of {total} regions registered{refused}")
    }

    fn poll_fd(&self) -> RawFd {
        self.signal.fd()
    }

    fn start(&mut self, slot: u32, flight: &Flight) {
        let entry = self.entry(flight).user_data(u64::from(slot));
        // SAFETY: the entry's memory is kept by its flight until the completion was collected.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        assert!(pushed.is_ok(), "the submission queue has an entry for every slot");
    }

    fn flush(&mut self) -> io::Result<()> {
        loop {
            let queued = self.ring.submission().len();
            if queued == 0 {
                return Ok(());
            }
            match self.enter(queued, 0, EnterFlags::empty()) {
                // The kernel is short of memory or of completion entries: what stays queued goes out with the next collect.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY)) => return Ok(()),
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
    }

    fn collect(&mut self, results: &mut Vec<(u32, i32)>) -> io::Result<()> {
        self.signal.clear();
        let (queued, has_work) = {
            let submission = self.ring.submission();
            (submission.len(), submission.taskrun() || submission.cq_overflow())
        };
        if queued > 0 || has_work {
            match self.enter(queued, 0, EnterFlags::GETEVENTS) {
                Err(error) if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY)) => return Err(error),
                _ => {}
            }
        }
        results.extend(self.ring.completion().map(|entry| (entry.user_data() as u32, entry.result())));
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let queued = self.ring.submission().len();
        self.enter(queued, 1, EnterFlags::GETEVENTS)
    }
}
