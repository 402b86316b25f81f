//! How long to look for the next request before the thread goes to sleep.
//!
//! A program that makes one call after the other sends its next request a few microseconds after our reply; going to sleep in between and being
//! woken costs ten times the work itself (docs/benchmarks.md, "W5"). So after a batch that was answered at once the device is looked at again for
//! `LOOK`, giving the core to whoever wants it between two looks. Looking that finds nothing soon stops: luck counts what it was worth.
//! Invariant: between two sleeps at most `SERVE` passes before the event loop gets its turn, and a run of fruitless looks costs at most
//! `LUCK_MAX` × `LOOK`, then one look in `RETRY_EVERY`.

use std::time::{Duration, Instant};

/// Longer than a program thinks between two calls, about as long as a wake-up costs.
const LOOK: Duration = Duration::from_micros(40);
/// Timers and sockets wait no longer than this for a busy device.
const SERVE: Duration = Duration::from_micros(400);
const LUCK_MAX: u32 = 8;
const RETRY_EVERY: u32 = 32;

pub struct Patience {
    luck: u32,
    skipped: u32,
    is_worth_it: bool,
}

impl Patience {
    /// A single core has nobody else to send the next request meanwhile.
    pub fn new(cores: usize) -> Self {
        Self { luck: LUCK_MAX, skipped: 0, is_worth_it: cores > 1 }
    }

    /// The moment at which serving ends, for a thread that begins now.
    pub fn serve_until(&self) -> Instant {
        Instant::now() + SERVE
    }

    /// Until when to look for the next request; None: go to sleep now.
    pub fn look_until(&mut self) -> Option<Instant> {
        if !self.is_worth_it {
            return None;
        }
        if self.luck == 0 {
            self.skipped += 1;
            if self.skipped < RETRY_EVERY {
                return None;
            }
            self.skipped = 0;
        }
        Some(Instant::now() + LOOK)
    }

    /// What a look came to.
    pub fn looked(&mut self, found: bool) {
        self.luck = if found { (self.luck + 2).min(LUCK_MAX) } else { self.luck.saturating_sub(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fruitless_looks_become_rare_and_fruitful_ones_bring_them_back() {
        let mut patience = Patience::new(2);
        for _ in 0..LUCK_MAX {
            assert!(patience.look_until().is_some());
            patience.looked(false);
        }
        let looks = (0..RETRY_EVERY * 3).filter(|_| patience.look_until().is_some()).count();
        assert_eq!(looks, 3);
        patience.looked(true);
        assert!(patience.look_until().is_some());
    }

    #[test]
    fn one_core_never_looks() {
        assert!(Patience::new(1).look_until().is_none());
    }
}
