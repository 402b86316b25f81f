//! The thread engine: the same requests as plain system calls on a few threads, for machines where io_uring is refused.
//!
//! Invariant: a job's memory is used only between `flush` and the moment when its result is in `finished`. Dropping the
//! pool waits for the jobs that run and for those that wait.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::engine::Engine;
use crate::flight::{Flight, Operation};
use crate::signal::Signal;

struct Job {
    slot: u32,
    operation: Operation,
    fd: i32,
    offset: u64,
    length: u64,
    views: *const libc::iovec,
    view_count: i32,
}

// SAFETY: the flight keeps the views and what they point to until the result was collected; one thread runs a job.
unsafe impl Send for Job {}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    finished: Vec<(u32, i32)>,
    closing: bool,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    signal: Signal,
}

impl Shared {
    /// A thread never panics while it holds the lock, so a poisoned lock still guards a whole state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    queued: Vec<Job>,
    reason: String,
}

impl Pool {
    /// `reason` says why it is not io_uring.
    pub fn open(thread_count: usize, reason: String) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), signal: Signal::new()? });
        let mut pool = Self { shared, threads: Vec::new(), queued: Vec::new(), reason };
        for index in 0..thread_count.max(1) {
            let shared = Arc::clone(&pool.shared);
            pool.threads.push(std::thread::Builder::new().name(format!("cfs-io-{index}")).spawn(move || work(&shared))?);
        }
        Ok(pool)
    }
}

fn work(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if let Some(job) = state.waiting.pop_front() {
            drop(state);
            let result = run(&job);
            state = shared.lock();
            state.finished.push((job.slot, result));
            if state.finished.len() == 1 {
                shared.signal.raise();
            }
        } else if state.closing {
            return;
        } else {
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn run(job: &Job) -> i32 {
    let offset = job.offset.cast_signed();
    // SAFETY: the views and their memory are kept by the flight until this job's result was collected.
    let result = unsafe {
        match job.operation {
            Operation::Read => libc::preadv(job.fd, job.views, job.view_count, offset),
            Operation::Write => libc::pwritev(job.fd, job.views, job.view_count, offset),
            Operation::SyncData => libc::fdatasync(job.fd) as isize,
            Operation::Allocate | Operation::Punch => {
                libc::fallocate(job.fd, job.operation.allocate_mode(), offset, job.length.cast_signed()) as isize
            }
        }
    };
    if result < 0 {
        return -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    }
    i32::try_from(result).unwrap_or(i32::MAX)
}

impl Engine for Pool {
    fn kind(&self) -> &'static str {
        "threads"
    }

    fn description(&self) -> String {
        format!("{} threads, because {}", self.threads.len(), self.reason)
    }

    fn poll_fd(&self) -> RawFd {
        self.shared.signal.fd()
    }

    fn start(&mut self, slot: u32, flight: &Flight) {
        self.queued.push(Job {
            slot,
            operation: flight.operation,
            fd: flight.fd,
            offset: flight.offset(),
            length: flight.remaining(),
            views: flight.views().as_ptr(),
            view_count: flight.views().len() as i32,
        });
    }

    fn flush(&mut self) -> io::Result<()> {
        let count = self.queued.len();
        if count > 0 {
            self.shared.lock().waiting.extend(self.queued.drain(..));
        }
        for _ in 0..count.min(self.threads.len()) {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    fn collect(&mut self, results: &mut Vec<(u32, i32)>) -> io::Result<()> {
        let mut state = self.shared.lock();
        self.shared.signal.clear(); // Under the lock, so that an announcement is never lost.
        results.append(&mut state.finished);
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        self.flush()?;
        let mut poll = libc::pollfd { fd: self.poll_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, a local.
        while unsafe { libc::poll(&raw mut poll, 1, -1) } < 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EINTR) {
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // A thread that panicked has no result to give; its slot was never reported.
        }
    }
}
