//! A packed segment, read back from its fragments alone.

use super::*;
use crate::header::{CRCS_OFFSET, FragmentHeader};
use crate::verify::first_bad_block;
use cfs_reduce::decompress;

fn noise(count: usize, mut state: u64) -> Vec<u8> {
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

fn text(count: usize, seed: u32) -> Vec<u8> {
    (seed..).flat_map(|line| format!("line {line} of a file, {}\n", line.wrapping_mul(2_654_435_761)).into_bytes()).take(count).collect()
}

fn options(data_count: usize, parity_count: usize, codec: Preference) -> PackOptions {
    PackOptions { data_count, parity_count, cluster_id: [3; 16], segment_id: 12, generation: 2, codec }
}

/// Packs, checks every header and block, and returns the segment's payload.
fn pack(pieces: &[Piece<'_>], options: &PackOptions) -> (Packed, Vec<u8>) {
    let raw: usize = pieces.iter().flat_map(|piece| &piece.views).map(|view| view.len()).sum();
    let origins = pieces.iter().map(|piece| piece.origin.len()).sum();
    let mut out = vec![0xcd; output_bytes_max(raw, pieces.len(), origins, options.data_count, options.parity_count)];
    let packed = Packer::default().pack(pieces, options, &mut out).unwrap();
    let size = HEADER_BYTES + packed.fragment_bytes;
    let mut payload = Vec::new();
    for (index, fragment) in out.chunks_exact(size).take(options.data_count + options.parity_count).enumerate() {
        let (page, blocks) = fragment.split_at(HEADER_BYTES);
        let header = FragmentHeader::decode(page).unwrap();
        assert_eq!((header.index as usize, header.segment_id, header.generation), (index, 12, 2));
        assert_eq!((header.segment_bytes as usize, header.table_bytes as usize), (packed.segment_bytes, packed.table_bytes));
        assert_eq!(first_bad_block(blocks, &page[CRCS_OFFSET..], 0, header.block_count()).unwrap(), None);
        if index < options.data_count {
            payload.extend_from_slice(blocks);
        }
    }
    assert!(payload[packed.segment_bytes..].iter().all(|byte| *byte == 0), "the rest is zero");
    (packed, payload)
}

/// Every piece, put together again from the table at the end of the segment.
fn unpack(packed: &Packed, payload: &[u8]) -> Vec<Vec<u8>> {
    let table = SegmentTable::decode(&payload[packed.segment_bytes - packed.table_bytes..packed.segment_bytes]).unwrap();
    assert_eq!(table, packed.table);
    let mut chunks = table.chunks.iter();
    let mut pieces = Vec::new();
    for piece in &table.pieces {
        let mut bytes = Vec::new();
        for chunk in chunks.by_ref().take(piece.chunk_count.into()) {
            let stored = &payload[chunk.stored_offset as usize..][..chunk.stored_bytes as usize];
            let mut raw = vec![0; chunk.raw_bytes as usize];
            decompress(Codec::try_from(chunk.codec).unwrap(), stored, &mut raw).unwrap();
            assert_eq!(hash(&raw), chunk.hash);
            bytes.extend(raw);
        }
        pieces.push(bytes);
    }
    pieces
}

#[test]
fn pieces_come_back_for_every_code_and_codec() {
    let (random, prose) = (noise(700_000, 1), text(500_000, 2));
    for (k, m) in [(1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (4, 2), (8, 3)] {
        for codec in [Preference::None, Preference::Lz4, Preference::Zstd1] {
            let pieces = [
                Piece { views: vec![&random[..1]], phase: 4095, origin: b"one byte" },
                Piece { views: vec![&random[1..300_000]], phase: 1, origin: &[] },
                Piece { views: vec![&prose[..100_000], &random[..50_000], &[], &prose[200_000..]], phase: 0, origin: &[9; 64] },
                Piece { views: vec![&prose[..4096]], phase: 0, origin: &[] },
                Piece { views: vec![&random[5..5 + 8192]], phase: 0, origin: &[] },
            ];
            let (packed, payload) = pack(&pieces, &options(k, m, codec));
            let expected: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.views.concat()).collect();
            assert_eq!(unpack(&packed, &payload), expected, "{k}+{m} {codec:?}");
        }
    }
}

#[test]
fn aligned_reads_of_raw_chunks_touch_one_block() {
    let random = noise(1 << 20, 3);
    let pieces = [
        Piece { views: vec![&random[..5_000]], phase: 0, origin: &[] },
        Piece { views: vec![&random[..600_000]], phase: 1_000, origin: &[] },
        Piece { views: vec![&random[..12_288]], phase: 0, origin: &[] },
        Piece { views: vec![&random[..400_000 / 4096 * 4096]], phase: 0, origin: &[] },
    ];
    let (packed, payload) = pack(&pieces, &options(4, 2, Preference::Lz4));
    assert_eq!(unpack(&packed, &payload).len(), 4);
    let mut first = 0;
    for (index, piece) in packed.table.pieces.iter().enumerate() {
        let mut phase = pieces[index].phase;
        for chunk in &packed.table.chunks[first..first + usize::from(piece.chunk_count)] {
            assert!(index == 0 || chunk.stored_offset as usize % BLOCK_BYTES == phase % BLOCK_BYTES, "piece {index}");
            phase += chunk.raw_bytes as usize;
        }
        first += usize::from(piece.chunk_count);
    }
    assert!(packed.segment_bytes < 5_000 + 600_000 + 12_288 + 400_000 + 16_384);
}

#[test]
fn the_largest_and_the_most_scattered_segment_fit_their_bound() {
    let random = noise(2 << 20, 4);
    let (packed, payload) = pack(&[Piece { views: vec![&random], phase: 17, origin: &[1; 64] }], &options(1, 0, Preference::Lz4));
    assert_eq!(unpack(&packed, &payload).concat(), random);
    let size = SEGMENT_RAW_MAX_BYTES / PIECES_MAX;
    let pieces: Vec<Piece<'_>> = random
        .chunks(size)
        .enumerate()
        .map(|(index, view)| Piece { views: vec![view], phase: index * 37 % 4096, origin: &[7; 64] })
        .collect();
    assert_eq!(pieces.len(), PIECES_MAX);
    let (packed, payload) = pack(&pieces, &options(1, 1, Preference::Lz4));
    assert_eq!(unpack(&packed, &payload).concat(), random);
}

#[test]
fn one_packer_gives_the_same_bytes_every_time() {
    let (random, prose) = (noise(300_000, 5), text(300_000, 6));
    let pieces = [Piece { views: vec![&random, &prose], phase: 0, origin: b"x" }, Piece { views: vec![&prose], phase: 0, origin: b"y" }];
    let mut packer = Packer::default();
    let mut results = Vec::new();
    for dirt in [0, 0xff] {
        let mut out = vec![dirt; output_bytes_max(900_000, 2, 2, 3, 2)];
        let packed = packer.pack(&pieces, &options(3, 2, Preference::Lz4), &mut out).unwrap();
        out.truncate(5 * (HEADER_BYTES + packed.fragment_bytes));
        results.push((packed, out));
    }
    assert!(results[0] == results[1]);
}

#[test]
fn broken_requests_are_refused() {
    let bytes = noise(SEGMENT_RAW_MAX_BYTES + 1, 7);
    let mut packer = Packer::default();
    let mut out = vec![0; 4 << 20];
    let good = || Piece { views: vec![&bytes[..10]], phase: 0, origin: &[] };
    let mut refused = |pieces: &[Piece<'_>], k: usize, m: usize, room: usize| {
        matches!(packer.pack(pieces, &options(k, m, Preference::None), &mut out[..room]), Err(Error::Invalid(_)))
    };
    assert!(!refused(&[good()], 1, 0, 8192));
    assert!(refused(&[good()], 1, 0, 8191));
    assert!(refused(&[good()], 0, 1, 8192));
    assert!(refused(&[], 1, 0, 8192));
    assert!(refused(&[Piece { views: vec![], ..good() }], 1, 0, 8192));
    assert!(refused(&[Piece { phase: 4096, ..good() }], 1, 0, 8192));
    assert!(refused(&[Piece { origin: &[0; 65], ..good() }], 1, 0, 8192));
    assert!(refused(&[Piece { views: vec![&bytes], ..good() }], 1, 0, 4 << 20));
    assert!(refused(&vec![good(); PIECES_MAX + 1], 1, 0, 4 << 20));
}
