//! Binding of cfs-reduce, cfs-erasure and cfs-store.
//!
//! Errors leave as "CODE: what happened" with CODE one of INVALID, CORRUPT, NOT_SUPPORTED, IO; native/src/pack.ts makes CfsErrors of
//! them. A panic becomes an error with code IO. Functions without a promise run on the JavaScript thread and keep no reference to
//! their arguments. Output buffers must not overlap inputs: that is checked here, before a mutable slice exists beside them.

// Without its registration, which test builds leave out, the whole binding looks unused.
#![cfg_attr(test, allow(dead_code))]

use cfs_erasure::Code;
use cfs_reduce::{Codec, Preference};
use cfs_store::{Error as StoreError, FragmentHeader, Job, PackOptions, Packed, Packer, Piece};
use napi::bindgen_prelude::{Array, AsyncTask, FromNapiValue, ObjectRef, Uint8Array, Uint32Array, sys};
use napi::{Env, Error, Result, Task};
use napi_derive::napi;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// Scratch memory of segments packed before. As many are kept as Node's pool has threads by default.
static PACKERS: Mutex<Vec<Packer>> = Mutex::new(Vec::new());
const PACKERS_MAX: usize = 4;

fn refusal(error: StoreError) -> Error {
    let code = match error {
        StoreError::Invalid(_) => "INVALID",
        StoreError::Corrupt(_) => "CORRUPT",
        StoreError::Unsupported(_) => "NOT_SUPPORTED",
    };
    Error::from_reason(format!("{code}: {error}"))
}

fn invalid(what: impl Into<String>) -> Error {
    refusal(StoreError::Invalid(what.into()))
}

/// Addresses of a buffer, to see whether two share a byte.
#[derive(Clone, Copy)]
struct Span {
    begin: usize,
    end: usize,
}

impl<T> From<&[T]> for Span {
    fn from(slice: &[T]) -> Span {
        let range = slice.as_ptr_range();
        Span { begin: range.start as usize, end: range.end as usize }
    }
}

impl Span {
    fn overlaps(self, other: Span) -> bool {
        self.begin < other.end && other.begin < self.end
    }
}

/// A typed array argument that will be written. It becomes a slice only after the inputs are known to lie elsewhere.
pub struct Target<'a, T> {
    pointer: *mut T,
    length: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

impl<'a, T> Target<'a, T> {
    fn span(&self) -> Span {
        let begin = self.pointer as usize;
        Span { begin, end: begin + self.length * size_of::<T>() }
    }

    fn beside(self, inputs: impl IntoIterator<Item = Span>) -> Result<&'a mut [T]> {
        let span = self.span();
        if inputs.into_iter().any(|input| input.overlaps(span)) {
            return Err(invalid("the output overlaps an input"));
        }
        // SAFETY: pointer and length came from a mutable slice of the typed array, which the caller keeps alive for 'a, and nothing
        // that is read lies in it.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.pointer, self.length) })
    }
}

impl<'a, T: 'a> FromNapiValue for Target<'a, T>
where
    &'a mut [T]: FromNapiValue,
{
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: the same contract, passed on.
        let slice = unsafe { <&'a mut [T]>::from_napi_value(env, value) }?;
        Ok(Target { pointer: slice.as_mut_ptr(), length: slice.len(), lifetime: PhantomData })
    }
}

/// JavaScript's view of a fragment header; field order as in the page.
#[napi(object)]
pub struct NativeFragmentHeader {
    pub cluster_id: Uint8Array,
    pub segment_id: i64,
    pub generation: u32,
    pub index: u8,
    pub data_count: u8,
    pub parity_count: u8,
    pub fragment_bytes: u32,
    pub segment_bytes: u32,
    pub table_bytes: u32,
    pub table_hash: Uint8Array,
}

impl NativeFragmentHeader {
    fn parse(&self) -> Result<FragmentHeader> {
        Ok(FragmentHeader {
            cluster_id: fixed(&self.cluster_id, "cluster id")?,
            segment_id: u64::try_from(self.segment_id).map_err(|_| invalid(format!("segment id {}", self.segment_id)))?,
            generation: self.generation,
            index: self.index,
            data_count: self.data_count,
            parity_count: self.parity_count,
            fragment_bytes: self.fragment_bytes,
            segment_bytes: self.segment_bytes,
            table_bytes: self.table_bytes,
            table_hash: fixed(&self.table_hash, "table hash")?,
        })
    }
}

fn fixed<const N: usize>(bytes: &[u8], what: &str) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| invalid(format!("a {what} of {} bytes", bytes.len())))
}

#[napi(object)]
pub struct NativePackOptions {
    pub data_count: u32,
    pub parity_count: u32,
    pub cluster_id: Uint8Array,
    pub segment_id: i64,
    pub generation: u32,
    /// 0 none, 1 LZ4, 2 zstd level 1.
    pub codec: u32,
}

impl NativePackOptions {
    fn parse(&self) -> Result<PackOptions> {
        let codec = match self.codec {
            0 => Preference::None,
            1 => Preference::Lz4,
            2 => Preference::Zstd1,
            other => return Err(invalid(format!("codec {other}"))),
        };
        Ok(PackOptions {
            data_count: self.data_count as usize,
            parity_count: self.parity_count as usize,
            cluster_id: fixed(&self.cluster_id, "cluster id")?,
            segment_id: u64::try_from(self.segment_id).map_err(|_| invalid(format!("segment id {}", self.segment_id)))?,
            generation: self.generation,
            codec,
        })
    }
}

#[napi(object)]
pub struct NativePacked {
    pub fragment_bytes: u32,
    pub segment_bytes: u32,
    pub table_bytes: u32,
    /// Six words per chunk: piece, raw offset in it, raw bytes, stored offset, stored bytes, codec.
    pub chunks: Uint32Array,
    /// 32 bytes per chunk.
    pub hashes: Uint8Array,
}

impl From<Packed> for NativePacked {
    fn from(packed: Packed) -> NativePacked {
        let mut chunks = Vec::with_capacity(packed.table.chunks.len() * 6);
        let mut hashes = Vec::with_capacity(packed.table.chunks.len() * 32);
        let mut entries = packed.table.chunks.iter();
        for (piece, entry) in packed.table.pieces.iter().enumerate() {
            let mut raw_offset = 0;
            for chunk in entries.by_ref().take(entry.chunk_count.into()) {
                chunks.extend([piece as u32, raw_offset, chunk.raw_bytes, chunk.stored_offset, chunk.stored_bytes, chunk.codec.into()]);
                hashes.extend(chunk.hash);
                raw_offset += chunk.raw_bytes;
            }
        }
        NativePacked {
            fragment_bytes: packed.fragment_bytes as u32,
            segment_bytes: packed.segment_bytes as u32,
            table_bytes: packed.table_bytes as u32,
            chunks: chunks.into(),
            hashes: hashes.into(),
        }
    }
}

/// Memory of a typed array that outlives the call: as long as the reference beside it is held.
struct Pinned {
    pointer: *mut u8,
    length: usize,
}

/// What a pack needs, free of JavaScript values, so that it can go to a pool thread.
struct PackJob {
    views: Vec<Pinned>,
    /// Three words per piece: view count, phase, origin bytes.
    pieces: Vec<u32>,
    origins: Vec<u8>,
    options: PackOptions,
    out: Pinned,
}

// SAFETY: the pointers lead to memory of ArrayBuffers, which has no thread; PackTask holds references to the arrays until the job
// is done, and the contract of packSegment forbids JavaScript to detach or write them meanwhile.
unsafe impl Send for PackJob {}

impl PackJob {
    fn new(views: &Array, pieces: &[u32], origins: &[u8], options: &NativePackOptions, out: Target<'_, u8>) -> Result<PackJob> {
        let mut pinned = Vec::with_capacity(views.len() as usize);
        for index in 0..views.len() {
            let view: &[u8] = views.get(index)?.ok_or_else(|| invalid("a view is missing"))?;
            if Span::from(view).overlaps(out.span()) {
                return Err(invalid(format!("view {index} overlaps the output")));
            }
            pinned.push(Pinned { pointer: view.as_ptr().cast_mut(), length: view.len() });
        }
        let sum = |word: usize| pieces.iter().skip(word).step_by(3).map(|count| *count as usize).sum::<usize>();
        if !pieces.len().is_multiple_of(3) || sum(0) != pinned.len() || sum(2) != origins.len() {
            return Err(invalid(format!("{} words of pieces for {} views and {} origin bytes", pieces.len(), pinned.len(), origins.len())));
        }
        let out = Pinned { pointer: out.pointer, length: out.length };
        Ok(PackJob { views: pinned, pieces: pieces.to_vec(), origins: origins.to_vec(), options: options.parse()?, out })
    }

    fn run(&mut self) -> Result<NativePacked> {
        // SAFETY: see the Send of PackJob; `new` saw that the output overlaps no view, so the slices may live side by side.
        let out = unsafe { std::slice::from_raw_parts_mut(self.out.pointer, self.out.length) };
        let mut views = self.views.iter().map(|view| match view.length {
            0 => &[][..],
            // SAFETY: as above.
            length => unsafe { std::slice::from_raw_parts(view.pointer, length) },
        });
        let mut origins = self.origins.as_slice();
        let mut pieces = Vec::with_capacity(self.pieces.len() / 3);
        for piece in self.pieces.chunks_exact(3) {
            let (origin, rest) = origins.split_at(piece[2] as usize);
            origins = rest;
            pieces.push(Piece { views: views.by_ref().take(piece[0] as usize).collect(), phase: piece[1] as usize, origin });
        }
        let mut packer = PACKERS.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let packed = packer.pack(&pieces, &self.options, out).map_err(refusal);
        let mut kept = PACKERS.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < PACKERS_MAX {
            kept.push(packer);
        }
        Ok(packed?.into())
    }
}

pub struct PackTask {
    job: PackJob,
    /// The array of views and the output: what keeps the job's memory alive. Without the leak check: when a worker thread is
    /// terminated, its references end with its environment and `finally` is not called.
    pins: [ObjectRef<false>; 2],
}

impl Task for PackTask {
    type Output = NativePacked;
    type JsValue = NativePacked;

    fn compute(&mut self) -> Result<NativePacked> {
        // A panic drops the packer it had, so no half-changed scratch is used again.
        catch_unwind(AssertUnwindSafe(|| self.job.run())).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Error::from_reason(format!("IO: packing panicked: {}", text.unwrap_or("without a message"))))
        })
    }

    fn resolve(&mut self, _env: Env, output: NativePacked) -> Result<NativePacked> {
        Ok(output)
    }

    fn finally(self, env: Env) -> Result<()> {
        self.pins.into_iter().try_for_each(|pin| pin.unref(&env))
    }
}

/// Packs on a thread of Node's pool. Views and output stay untouched by JavaScript until the promise settles.
#[napi(catch_unwind)]
pub fn pack_segment(views: Array, pieces: &[u32], origins: &[u8], options: NativePackOptions, out: Array) -> Result<AsyncTask<PackTask>> {
    let target: Target<'_, u8> = out.get(0)?.ok_or_else(|| invalid("the output is missing"))?;
    let job = PackJob::new(&views, pieces, origins, &options, target)?;
    let pins = [views.coerce_to_object()?.create_ref()?, out.coerce_to_object()?.create_ref()?];
    Ok(AsyncTask::new(PackTask { job, pins }))
}

/// The same on the calling thread, for callers that have a thread to spend.
#[napi(catch_unwind)]
pub fn pack_segment_sync(views: Array, pieces: &[u32], origins: &[u8], options: NativePackOptions, out: Array) -> Result<NativePacked> {
    let target: Target<'_, u8> = out.get(0)?.ok_or_else(|| invalid("the output is missing"))?;
    PackJob::new(&views, pieces, origins, &options, target)?.run()
}

#[napi(catch_unwind)]
pub fn pack_output_bytes(raw_bytes: u32, piece_count: u32, origin_bytes: u32, data_count: u32, parity_count: u32) -> f64 {
    cfs_store::output_bytes_max(raw_bytes as usize, piece_count as usize, origin_bytes as usize, data_count as usize, parity_count as usize)
        as f64
}

/// Fills the parity ranges, one after another in `parity`, from the data ranges.
#[napi(catch_unwind)]
pub fn encode_parity(parity_count: u32, data: Array, parity: Target<'_, u8>) -> Result<()> {
    let mut inputs: Vec<&[u8]> = Vec::with_capacity(data.len() as usize);
    for index in 0..data.len() {
        inputs.push(data.get(index)?.ok_or_else(|| invalid("a range is missing"))?);
    }
    let length = inputs.first().map_or(0, |input| input.len());
    let parity = parity.beside(inputs.iter().map(|input| Span::from(*input)))?;
    if parity.len() != length * parity_count as usize {
        return Err(invalid(format!("an output of {} bytes for {parity_count} ranges of {length}", parity.len())));
    }
    let code = Code::new(inputs.len(), parity_count as usize).map_err(|error| refusal(error.into()))?;
    let mut outputs: Vec<&mut [u8]> = if length == 0 { Vec::new() } else { parity.chunks_exact_mut(length).collect() };
    if length == 0 {
        return Ok(());
    }
    code.encode(&inputs, &mut outputs).map_err(|error| refusal(error.into()))
}

/// Rebuilds the wanted ranges, one after another in `out`, from any k present ones; absent ones are null.
#[napi(catch_unwind)]
pub fn rebuild(data_count: u32, parity_count: u32, present: Array, want: &[u32], out: Target<'_, u8>) -> Result<()> {
    let code = Code::new(data_count as usize, parity_count as usize).map_err(|error| refusal(error.into()))?;
    let mut inputs: Vec<Option<&[u8]>> = Vec::with_capacity(present.len() as usize);
    for index in 0..present.len() {
        inputs.push(present.get::<Option<&[u8]>>(index)?.flatten());
    }
    let length = inputs.iter().flatten().next().map_or(0, |input| input.len());
    let out = out.beside(inputs.iter().flatten().map(|input| Span::from(*input)))?;
    if out.len() != length * want.len() {
        return Err(invalid(format!("an output of {} bytes for {} ranges of {length}", out.len(), want.len())));
    }
    if length == 0 || want.is_empty() {
        return Ok(());
    }
    let want: Vec<usize> = want.iter().map(|index| *index as usize).collect();
    let mut outputs: Vec<&mut [u8]> = out.chunks_exact_mut(length).collect();
    code.rebuild(&inputs, &want, &mut outputs).map_err(|error| refusal(error.into()))
}

/// Writes the header page for given block CRCs.
#[napi(catch_unwind)]
pub fn encode_fragment_header(header: NativeFragmentHeader, crcs: &[u32], page: Target<'_, u8>) -> Result<()> {
    header.parse()?.encode(crcs, page.beside([crcs.into()])?).map_err(refusal)
}

#[napi(catch_unwind)]
pub fn decode_fragment_header(page: &[u8]) -> Result<NativeFragmentHeader> {
    let header = FragmentHeader::decode(page).map_err(refusal)?;
    Ok(NativeFragmentHeader {
        cluster_id: header.cluster_id.to_vec().into(),
        segment_id: header.segment_id as i64,
        generation: header.generation,
        index: header.index,
        data_count: header.data_count,
        parity_count: header.parity_count,
        fragment_bytes: header.fragment_bytes,
        segment_bytes: header.segment_bytes,
        table_bytes: header.table_bytes,
        table_hash: header.table_hash.to_vec().into(),
    })
}

/// Sums the blocks of a payload and writes its header page.
#[napi(catch_unwind)]
pub fn seal_fragment(header: NativeFragmentHeader, payload: &[u8], page: Target<'_, u8>) -> Result<()> {
    cfs_store::seal_fragment(&header.parse()?, payload, page.beside([payload.into()])?).map_err(refusal)
}

/// The first bad block of `count`, counted from the beginning of `bytes`, or -1.
#[napi(catch_unwind)]
pub fn verify_blocks(bytes: &[u8], crcs: &[u8], first: u32, count: u32) -> Result<i32> {
    let bad = cfs_store::first_bad_block(bytes, crcs, first as usize, count as usize).map_err(refusal)?;
    Ok(bad.map_or(cfs_store::ALL_GOOD, |block| block as i32))
}

/// Jobs of three words (byte offset in the slab, CRC index, block count); one result each. Returns how many are bad.
#[napi(catch_unwind)]
pub fn verify_jobs(slab: &[u8], crcs: &[u8], jobs: &[u32], results: Target<'_, i32>) -> Result<u32> {
    if !jobs.len().is_multiple_of(3) {
        return Err(invalid(format!("{} words of jobs", jobs.len())));
    }
    let results = results.beside([slab.into(), crcs.into(), jobs.into()])?;
    let jobs =
        jobs.chunks_exact(3).map(|job| Job { offset_bytes: job[0] as usize, first_crc: job[1] as usize, block_count: job[2] as usize });
    cfs_store::verify_jobs(slab, crcs, jobs, results).map(|bad| bad as u32).map_err(refusal)
}

#[napi(catch_unwind, js_name = "crc32c")]
pub fn crc32c(bytes: &[u8]) -> u32 {
    cfs_erasure::crc32c(bytes)
}

/// Ranges of two words (offset, length); one CRC32C each.
#[napi(catch_unwind, js_name = "crc32cBatch")]
pub fn crc32c_batch(bytes: &[u8], ranges: &[u32], out: Target<'_, u32>) -> Result<()> {
    let out = out.beside([bytes.into(), ranges.into()])?;
    if ranges.len() != out.len() * 2 {
        return Err(invalid(format!("{} words of ranges for {} results", ranges.len(), out.len())));
    }
    for (range, result) in ranges.chunks_exact(2).zip(out) {
        let (begin, length) = (range[0] as usize, range[1] as usize);
        let part = bytes.get(begin..begin + length).ok_or_else(|| invalid(format!("{length} bytes at {begin} of {}", bytes.len())))?;
        *result = cfs_erasure::crc32c(part);
    }
    Ok(())
}

#[napi(catch_unwind)]
pub fn blake3(bytes: &[u8], out: Target<'_, u8>) -> Result<()> {
    let out = out.beside([bytes.into()])?;
    if out.len() != 32 {
        return Err(invalid(format!("a hash of {} bytes", out.len())));
    }
    out.copy_from_slice(&cfs_reduce::hash(bytes));
    Ok(())
}

/// Fills `out`, whose length is the chunk's raw length.
#[napi(catch_unwind)]
pub fn decompress_chunk(codec: u8, stored: &[u8], out: Target<'_, u8>) -> Result<()> {
    let codec = Codec::try_from(codec).map_err(|error| refusal(error.into()))?;
    cfs_reduce::decompress(codec, stored, out.beside([stored.into()])?).map_err(|error| refusal(error.into()))
}
