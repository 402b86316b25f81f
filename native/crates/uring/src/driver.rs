//! Keeps the requests in flight and the rules: one report per slot, short transfers continued, nothing freed too early.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use crate::arena::Arena;
use crate::engine::{Choice, Engine};
use crate::flight::{Flight, ForeignView, Step};
use crate::pool::Pool;
use crate::ring::Ring;

const SLOTS_MAX: u32 = 4096;
const WORDS_PER_COMPLETION: usize = 2;

/// How to open a driver.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which engine.
    pub engine: Choice,
    /// Requests in flight at most, 1 to 4096.
    pub slots: u32,
    /// Pool memory, rounded up to whole regions.
    pub pool_bytes: usize,
    /// Words that a batch may have.
    pub submission_words: usize,
    /// Threads, if the engine is threads.
    pub thread_count: usize,
}

/// See the crate.
pub struct Driver {
    engine: Box<dyn Engine>,
    flights: Box<[Flight]>,
    in_flight: usize,
    results: Vec<(u32, i32)>,
    arena: Arc<Arena>,
}

impl Driver {
    /// Opens the engine that `options` ask for, on the thread that will use it.
    pub fn open(options: Options) -> io::Result<Self> {
        if options.slots == 0 || options.slots > SLOTS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} slots, 1 to {SLOTS_MAX} are possible", options.slots)));
        }
        let slots = options.slots as usize;
        let arena = Arc::new(Arena::new(options.pool_bytes, options.submission_words, slots * WORDS_PER_COMPLETION)?);
        let engine = open_engine(options, &arena)?;
        let flights = (0..slots).map(|_| Flight::default()).collect();
        Ok(Self { engine, flights, in_flight: 0, results: Vec::with_capacity(slots), arena })
    }

    /// The memory that requests point into.
    #[must_use]
    pub fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// `io_uring` or `threads`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.engine.kind()
    }

    /// For people.
    #[must_use]
    pub fn description(&self) -> String {
        self.engine.description()
    }

    /// Readable while completions wait.
    #[must_use]
    pub fn poll_fd(&self) -> RawFd {
        self.engine.poll_fd()
    }

    /// Requests that were not reported yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Starts the requests in the first `word_count` submission words. An error is a bug of the caller; the requests
    /// before the faulty one are started, and the faulty one and those after it are not.
    ///
    /// # Safety
    /// Memory that the requests name, in the arena and foreign, stays in place until their slots were reported.
    pub unsafe fn submit(&mut self, word_count: usize, foreign: &[ForeignView]) -> Result<(), String> {
        let outcome = self.load(word_count, foreign);
        self.engine.flush().map_err(|error| format!("submission failed: {error}"))?;
        outcome
    }

    fn load(&mut self, word_count: usize, foreign: &[ForeignView]) -> Result<(), String> {
        if word_count > self.arena.submission_words() {
            return Err(format!("{word_count} words are more than {}", self.arena.submission_words()));
        }
        let mut at = 0;
        while at < word_count {
            let word = self.arena.word(at);
            let slot = word as u32;
            let flight = self.flights.get_mut(slot as usize).filter(|flight| f64::from(slot) == word && !flight.is_active());
            let flight = flight.ok_or_else(|| format!("slot {word} does not exist or is in flight"))?;
            at = flight.load(&self.arena, at, word_count, foreign)?;
            self.in_flight += 1;
            self.engine.start(slot, flight);
        }
        Ok(())
    }

    /// Stores (slot, result) of the finished requests as completion words; returns how many requests.
    pub fn reap(&mut self) -> io::Result<usize> {
        let mut count = 0;
        let mut results = std::mem::take(&mut self.results);
        let collected = self.engine.collect(&mut results);
        for (slot, result) in results.drain(..) {
            let flight = &mut self.flights[slot as usize];
            match flight.advance(result) {
                Step::Again => self.engine.start(slot, flight),
                Step::Finished(total) => {
                    flight.release();
                    self.in_flight -= 1;
                    self.arena.store(count * WORDS_PER_COMPLETION, f64::from(slot));
                    self.arena.store(count * WORDS_PER_COMPLETION + 1, total as f64);
                    count += 1;
                }
            }
        }
        self.results = results;
        collected.and_then(|()| self.engine.flush())?;
        Ok(count)
    }

    /// Waits until nothing is in flight; the results are dropped.
    pub fn drain(&mut self) -> io::Result<()> {
        while self.in_flight > 0 {
            self.engine.wait()?;
            self.reap()?;
        }
        Ok(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.drain().is_err() {
            // The kernel may still write to the memory of these requests: leaking it is the only safe end.
            std::mem::forget(Arc::clone(&self.arena));
            std::mem::forget(std::mem::take(&mut self.flights));
        }
    }
}

fn open_engine(options: Options, arena: &Arc<Arena>) -> io::Result<Box<dyn Engine>> {
    let threads = |reason: String| Pool::open(options.thread_count, reason).map(|pool| Box::new(pool) as Box<dyn Engine>);
    if options.engine == Choice::Threads {
        return threads("they were asked for".to_owned());
    }
    match Ring::open(options.slots, Arc::clone(arena)) {
        Ok(ring) => Ok(Box::new(ring)),
        Err(error) if options.engine == Choice::Automatic && is_refusal(&error) => threads(format!("io_uring_setup says: {error}")),
        Err(error) => Err(error),
    }
}

/// Not compiled in, forbidden by sysctl or seccomp, or out of locked memory: the machine's decision, not a passing fault.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES | libc::ENOMEM | libc::EINVAL))
}
