//! Both engines against real files: what is written is read back, slots are reported once, faults come back as -errno.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cfs_uring::{Choice, Driver, ForeignView, HEADER_WORDS, Operation, Options, REGION_BYTES};

const WAKE_UP_MS_MAX: i32 = 20_000;

fn driver(engine: Choice) -> Driver {
    Driver::open(Options { engine, slots: 64, pool_bytes: 2 * REGION_BYTES, submission_words: 4096, thread_count: 3 })
        .expect("driver opens")
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        // Beside the build, because /tmp may be a tmpfs that knows no O_DIRECT.
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id())))
    }

    fn open(&self, flags: i32) -> File {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(flags)
            .open(&self.0)
            .expect("scratch file opens")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

struct Request<'a> {
    slot: u32,
    operation: Operation,
    file: &'a File,
    offset: u64,
    length: u64,
    direct: bool,
    views: &'a [(i64, usize)],
}

fn submit(driver: &mut Driver, requests: &[Request], foreign: &[ForeignView]) -> Result<(), String> {
    let mut at = 0;
    for request in requests {
        let header = [
            f64::from(request.slot),
            f64::from(request.operation as u8),
            f64::from(request.file.as_raw_fd()),
            request.offset as f64,
            request.length as f64,
            f64::from(u8::from(request.direct)),
            request.views.len() as f64,
        ];
        assert_eq!(header.len(), HEADER_WORDS);
        let views = request.views.iter().flat_map(|&(address, length)| [address as f64, length as f64]);
        for word in header.into_iter().chain(views) {
            driver.arena().store_submission(at, word);
            at += 1;
        }
    }
    // SAFETY: all memory is the arena's or outlives `settle`.
    unsafe { driver.submit(at, foreign) }
}

fn settle(driver: &mut Driver) -> Vec<(u32, i64)> {
    let mut all = Vec::new();
    while driver.in_flight() > 0 {
        let mut poll = libc::pollfd { fd: driver.poll_fd(), events: libc::POLLIN, revents: 0 };
        let began = Instant::now();
        // SAFETY: one entry, a local.
        let ready = unsafe { libc::poll(&raw mut poll, 1, WAKE_UP_MS_MAX) };
        // A descriptor that is ready but wakes nobody shows only when the time is up.
        assert!(ready == 1 && began.elapsed() < Duration::from_millis(WAKE_UP_MS_MAX as u64), "the descriptor wakes its poller");
        let count = driver.reap().expect("reap");
        all.extend((0..count).map(|index| (driver.arena().completion(2 * index) as u32, driver.arena().completion(2 * index + 1) as i64)));
    }
    all.sort_unstable();
    all
}

fn fill(driver: &Driver, offset: usize, length: usize, byte: u8) {
    assert!(offset + length <= driver.arena().pool_bytes());
    // SAFETY: inside the pool, and nothing is in flight when a test fills it.
    unsafe { driver.arena().start().add(offset).write_bytes(byte, length) }
}

fn peek(driver: &Driver, offset: usize) -> u8 {
    assert!(offset < driver.arena().pool_bytes());
    // SAFETY: inside the pool, and nothing is in flight when a test looks.
    unsafe { driver.arena().start().add(offset).read() }
}

fn both(name: &str, check: impl Fn(Driver, Scratch)) {
    for (engine, suffix) in [(Choice::Ring, "ring"), (Choice::Threads, "threads")] {
        check(driver(engine), Scratch::new(&format!("{name}-{suffix}")));
    }
}

#[test]
fn direct_writes_and_reads_of_one_and_many_views() {
    both("direct", |mut driver, scratch| {
        let file = scratch.open(libc::O_DIRECT | libc::O_DSYNC);
        for block in 0..4 {
            fill(&driver, block * 4096, 4096, block as u8 + 1);
        }
        let write =
            |slot, offset, length, views| Request { slot, operation: Operation::Write, file: &file, offset, length, direct: true, views };
        submit(&mut driver, &[write(3, 0, 4096, &[(0, 4096)]), write(9, 4096, 12_288, &[(8192, 4096), (4096, 4096), (12_288, 4096)])], &[])
            .expect("submit");
        assert_eq!(settle(&mut driver), [(3, 4096), (9, 12_288)]);

        let last = 2 * REGION_BYTES as i64 - 8192;
        let read =
            |slot, offset, length, views| Request { slot, operation: Operation::Read, file: &file, offset, length, direct: true, views };
        let across = (REGION_BYTES - 4096) as i64;
        submit(&mut driver, &[read(1, 0, 8192, &[(last, 8192)]), read(2, 8192, 8192, &[(across, 8192)])], &[]).expect("submit");
        assert_eq!(settle(&mut driver), [(1, 8192), (2, 8192)]);
        let firsts: Vec<u8> =
            [last as usize, last as usize + 4096, across as usize, across as usize + 4096].iter().map(|&at| peek(&driver, at)).collect();
        assert_eq!(firsts, [1, 3, 2, 4]);
    });
}

#[test]
fn reads_at_the_end_are_short_and_past_it_empty() {
    both("end", |mut driver, scratch| {
        std::fs::write(&scratch.0, vec![7_u8; 5000]).expect("prepare");
        let direct = scratch.open(libc::O_DIRECT);
        let buffered = scratch.open(0);
        let read = |slot, file, offset, direct| Request {
            slot,
            operation: Operation::Read,
            file,
            offset,
            length: 8192,
            direct,
            views: &[(0, 8192)],
        };
        for (slot, request, expected) in [
            (0, read(0, &direct, 0, true), 5000),
            (1, read(1, &direct, 8192, true), 0),
            (2, read(2, &buffered, 100, false), 4900),
            (3, read(3, &buffered, 5000, false), 0),
        ] {
            submit(&mut driver, &[request], &[]).expect("submit");
            assert_eq!(settle(&mut driver), [(slot, expected)]);
        }
    });
}

#[test]
fn foreign_memory_sync_allocate_and_punch() {
    both("control", |mut driver, scratch| {
        let file = scratch.open(0);
        let mut bytes = vec![5_u8; 10_000];
        let foreign = [ForeignView { address: bytes.as_mut_ptr(), length: bytes.len() }];
        let request =
            |slot, operation, offset, length, views| Request { slot, operation, file: &file, offset, length, direct: false, views };
        submit(&mut driver, &[request(0, Operation::Write, 0, 10_000, &[(-1, 10_000)])], &foreign).expect("submit");
        assert_eq!(settle(&mut driver), [(0, 10_000)]);
        submit(&mut driver, &[request(1, Operation::SyncData, 0, 0, &[]), request(2, Operation::Allocate, 65_536, 65_536, &[])], &[])
            .expect("submit");
        assert_eq!(settle(&mut driver), [(1, 0), (2, 0)]);
        assert_eq!(file.metadata().expect("stat").len(), 131_072);
        submit(&mut driver, &[request(1, Operation::Punch, 4096, 4096, &[])], &[]).expect("submit");
        assert_eq!(settle(&mut driver), [(1, 0)]);
        let content = std::fs::read(&scratch.0).expect("read");
        assert_eq!((content.len(), content[4095], content[4096], content[8191], content[8192]), (131_072, 5, 0, 0, 5));
    });
}

#[test]
fn faults_are_errno_and_bad_batches_are_refused() {
    both("faults", |mut driver, scratch| {
        let file = scratch.open(0);
        let read_only = OpenOptions::new().read(true).open(&scratch.0).expect("opens");
        let write =
            |slot, file| Request { slot, operation: Operation::Write, file, offset: 0, length: 4096, direct: false, views: &[(0, 4096)] };
        submit(&mut driver, &[write(4, &read_only)], &[]).expect("submit");
        assert_eq!(settle(&mut driver), [(4, i64::from(-libc::EBADF))]);
        let error = submit(&mut driver, &[write(5, &file), write(5, &file)], &[]).expect_err("one slot twice");
        assert!(error.contains("slot 5"), "{error}");
        assert_eq!(settle(&mut driver), [(5, 4096)], "the request before the faulty one ran");
        assert!(submit(&mut driver, &[write(64, &file)], &[]).is_err(), "slot out of range");
        assert_eq!(driver.in_flight(), 0);
    });
}

#[test]
fn dropping_with_work_in_flight_waits_for_it() {
    both("drop", |mut driver, scratch| {
        let file = scratch.open(libc::O_DIRECT | libc::O_DSYNC);
        fill(&driver, 0, 1 << 20, 9);
        let write = |slot: u32| Request {
            slot,
            operation: Operation::Write,
            file: &file,
            offset: u64::from(slot) << 20,
            length: 1 << 20,
            direct: true,
            views: &[(0, 1 << 20)],
        };
        let requests: Vec<Request> = (0..16).map(write).collect();
        submit(&mut driver, &requests, &[]).expect("submit");
        drop(driver);
        let content = std::fs::read(&scratch.0).expect("read");
        assert_eq!(content.len(), 16 << 20);
        assert!(content.iter().all(|&byte| byte == 9));
    });
}

#[test]
fn automatic_takes_the_ring_where_there_is_one() {
    let driver = driver(Choice::Automatic);
    assert_eq!(driver.kind(), "io_uring", "{}", driver.description());
}

#[test]
fn memory_is_registered_once_it_is_backed() {
    let mut driver = driver(Choice::Ring);
    let scratch = Scratch::new("registered");
    let file = scratch.open(libc::O_DIRECT);
    let offset = REGION_BYTES as i64;
    let began = Instant::now();
    while !driver.description().contains("1 of 2 regions registered") {
        assert!(began.elapsed() < Duration::from_millis(WAKE_UP_MS_MAX as u64), "{}", driver.description());
        let write =
            Request { slot: 0, operation: Operation::Write, file: &file, offset: 0, length: 4096, direct: true, views: &[(offset, 4096)] };
        submit(&mut driver, &[write], &[]).expect("submit");
        assert_eq!(settle(&mut driver), [(0, 4096)]);
    }
}
