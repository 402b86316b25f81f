//! What reduction costs per byte, one core, data in cache: `cargo bench -p cfs-reduce`. Prints figures, judges nothing.

use cfs_reduce::{Compressor, Preference, compress_bound, decompress, hash, next_chunk_bytes};
use std::hint::black_box;
use std::time::Instant;

fn rate(name: &str, bytes: usize, mut work: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..40 {
        let begin = Instant::now();
        work();
        best = best.min(begin.elapsed().as_secs_f64());
    }
    println!("{name:<40} {:>8.2} GB/s", bytes as f64 / best / 1e9);
}

fn main() {
    let mut state = 1u64;
    let random: Vec<u8> = (0..2 << 20)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    let text: Vec<u8> = (0..)
        .flat_map(|line: u32| {
            format!("line {line} of a file, user {} wrote {}\n", line % 17, line.wrapping_mul(2_654_435_761)).into_bytes()
        })
        .take(2 << 20)
        .collect();
    for (name, data) in [("random", &random), ("text", &text)] {
        rate(&format!("cut {name}"), data.len(), || {
            let mut at = 0;
            while at < data.len() {
                at += black_box(next_chunk_bytes(&data[at..]));
            }
        });
        rate(&format!("hash {name}, 64 KiB chunks"), data.len(), || {
            data.chunks(65_536).for_each(|chunk| {
                black_box(hash(chunk));
            })
        });
        let mut compressor = Compressor::default();
        let mut out = vec![0; compress_bound(65_536)];
        let mut back = vec![0; 65_536];
        for (codec, preference) in [("lz4", Preference::Lz4), ("zstd1", Preference::Zstd1)] {
            rate(&format!("{codec} compress {name}"), data.len(), || {
                data.chunks(65_536).for_each(|chunk| {
                    black_box(compressor.compress(preference, chunk, &mut out).unwrap());
                });
            });
            if let Some((codec_number, stored)) = compressor.compress(preference, &data[..65_536], &mut out).unwrap() {
                rate(&format!("{codec} decompress {name}, ratio {:.1}", 65_536.0 / stored as f64), 65_536, || {
                    decompress(codec_number, &out[..stored], &mut back).unwrap()
                });
            }
        }
    }
}
