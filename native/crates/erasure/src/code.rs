//! The k+m code of a segment: m parity fragments from k data fragments, and any lost fragment from any k that are left.
//!
//! Matrix 1 (the only one so far; its number stands in every fragment header): the identity over a Cauchy matrix, row r and
//! column c below the identity being 1 / (r ^ c) in GF(2^8) with polynomial 0x11d. Every square part of a Cauchy matrix has an
//! inverse, so any k fragments suffice for every k + m up to 255; Vandermonde matrices do not promise that.
//! The code works byte by byte at equal offsets: the same range of k fragments gives that range of a lost one.

use crate::Error;
use crate::isal::{Tables, cauchy_matrix, inverse, multiply};

pub const DATA_COUNT_MAX: usize = 32;
pub const PARITY_COUNT_MAX: usize = 8;

/// Encode in strips of this much per fragment, so that inputs and outputs stay in the second-level cache together.
const STRIP_BYTES: usize = 16 * 1024;

pub struct Code {
    data_count: usize,
    parity_count: usize,
    matrix: Vec<u8>,
    encode: Tables,
}

impl Code {
    pub fn new(data_count: usize, parity_count: usize) -> Result<Code, Error> {
        if data_count == 0 || data_count > DATA_COUNT_MAX || parity_count > PARITY_COUNT_MAX {
            return Err(Error(format!(
                "{data_count}+{parity_count} is not a code: 1 to {DATA_COUNT_MAX} data, 0 to {PARITY_COUNT_MAX} parity fragments"
            )));
        }
        let matrix = cauchy_matrix(data_count + parity_count, data_count);
        let encode = Tables::new(&matrix[data_count * data_count..], parity_count, data_count);
        Ok(Code { data_count, parity_count, matrix, encode })
    }

    pub fn data_count(&self) -> usize {
        self.data_count
    }

    pub fn fragment_count(&self) -> usize {
        self.data_count + self.parity_count
    }

    /// The coefficient of data fragment `column` in fragment `row`.
    pub fn coefficient(&self, row: usize, column: usize) -> u8 {
        self.matrix[row * self.data_count + column]
    }

    /// Fills the parity ranges from the data ranges at the same offset. All have one length.
    pub fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), Error> {
        if data.len() != self.data_count || parity.len() != self.parity_count {
            return Err(Error(format!(
                "{} data and {} parity ranges for a {}+{} code",
                data.len(),
                parity.len(),
                self.data_count,
                self.parity_count
            )));
        }
        one_length(data, parity)?;
        apply_in_strips(&self.encode, data, parity);
        Ok(())
    }

    /// Fills `out` with the fragments named by `want`, from any k of those present; absent ones are None.
    /// All ranges have one length and the same offset in their fragments.
    pub fn rebuild(&self, present: &[Option<&[u8]>], want: &[usize], out: &mut [&mut [u8]]) -> Result<(), Error> {
        if present.len() != self.fragment_count() || want.len() != out.len() || want.len() > self.fragment_count() {
            return Err(Error(format!(
                "{} ranges, {} wanted, {} outputs for {} fragments",
                present.len(),
                want.len(),
                out.len(),
                self.fragment_count()
            )));
        }
        if let Some(index) = want.iter().find(|index| **index >= self.fragment_count()) {
            return Err(Error(format!("fragment {index} of {}", self.fragment_count())));
        }
        let used: Vec<usize> = (0..present.len()).filter(|index| present[*index].is_some()).take(self.data_count).collect();
        if used.len() < self.data_count {
            return Err(Error(format!("{} fragments are left, {} are needed", used.len(), self.data_count)));
        }
        let inputs: Vec<&[u8]> = present.iter().flatten().take(self.data_count).copied().collect();
        one_length(&inputs, out)?;
        let rows = self.rebuild_rows(&used, want)?;
        apply_in_strips(&Tables::new(&rows, want.len(), self.data_count), &inputs, out);
        Ok(())
    }

    /// For each wanted fragment, the weights of the `used` ones: its row of the matrix times the inverse of their rows.
    fn rebuild_rows(&self, used: &[usize], want: &[usize]) -> Result<Vec<u8>, Error> {
        let k = self.data_count;
        let left: Vec<u8> = used.iter().flat_map(|row| &self.matrix[row * k..(row + 1) * k]).copied().collect();
        let back = inverse(left, k).ok_or_else(|| Error(format!("fragments {used:?} do not determine the data")))?;
        let mut rows = Vec::with_capacity(want.len() * k);
        for index in want {
            for column in 0..k {
                rows.push((0..k).fold(0, |sum, at| sum ^ multiply(self.coefficient(*index, at), back[at * k + column])));
            }
        }
        Ok(rows)
    }
}

fn one_length(inputs: &[&[u8]], outputs: &[&mut [u8]]) -> Result<(), Error> {
    let length = inputs.first().map_or(0, |input| input.len());
    let wrong = inputs.iter().map(|input| input.len()).chain(outputs.iter().map(|output| output.len())).find(|other| *other != length);
    wrong.map_or(Ok(()), |other| Err(Error(format!("ranges of {length} and {other} bytes in one stripe"))))
}

fn apply_in_strips(tables: &Tables, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
    let length = inputs.first().map_or(0, |input| input.len());
    for begin in (0..length).step_by(STRIP_BYTES) {
        let end = (begin + STRIP_BYTES).min(length);
        let strip: Vec<&[u8]> = inputs.iter().map(|input| &input[begin..end]).collect();
        let mut target: Vec<&mut [u8]> = outputs.iter_mut().map(|output| &mut output[begin..end]).collect();
        tables.apply(&strip, &mut target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crc32c;

    const CODES: [(usize, usize); 9] = [(1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (4, 2), (8, 3), (1, 2), (10, 4)];

    fn noise(count: usize, mut state: u64) -> Vec<u8> {
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect()
    }

    fn stripe(code: &Code, k: usize, m: usize, length: usize) -> Vec<Vec<u8>> {
        let mut fragments: Vec<Vec<u8>> =
            (0..k + m).map(|index| if index < k { noise(length, index as u64 + 9) } else { vec![0xaa; length] }).collect();
        let (data, parity) = fragments.split_at_mut(k);
        let data: Vec<&[u8]> = data.iter().map(|part| part.as_slice()).collect();
        let mut parity: Vec<&mut [u8]> = parity.iter_mut().map(|part| part.as_mut_slice()).collect();
        code.encode(&data, &mut parity).unwrap();
        fragments
    }

    #[test]
    fn any_lost_fragments_come_back() {
        for (k, m) in CODES {
            let code = Code::new(k, m).unwrap();
            let fragments = stripe(&code, k, m, 1000);
            for lost in (0u32..1 << (k + m)).filter(|lost| lost.count_ones() as usize <= m) {
                let present: Vec<Option<&[u8]>> =
                    fragments.iter().enumerate().map(|(index, bytes)| (lost & (1 << index) == 0).then_some(&bytes[100..900])).collect();
                let want: Vec<usize> = (0..k + m).filter(|index| lost & (1 << index) != 0).collect();
                let mut back = vec![vec![0; 800]; want.len()];
                code.rebuild(&present, &want, &mut back.iter_mut().map(|part| part.as_mut_slice()).collect::<Vec<_>>()).unwrap();
                for (index, bytes) in want.iter().zip(&back) {
                    assert_eq!(bytes, &fragments[*index][100..900], "{k}+{m} lost {lost:b} fragment {index}");
                }
            }
        }
    }

    #[test]
    fn a_mirror_is_a_copy_and_lengths_of_all_kinds_work() {
        let code = Code::new(1, 1).unwrap();
        let fragments = stripe(&code, 1, 1, 4096);
        assert_eq!(fragments[0], fragments[1]);
        for length in [0, 1, 31, 63, 64, 65, 4095, STRIP_BYTES, STRIP_BYTES + 1, 3 * STRIP_BYTES + 77] {
            let code = Code::new(4, 2).unwrap();
            let fragments = stripe(&code, 4, 2, length);
            for (row, fragment) in fragments.iter().enumerate().skip(4) {
                let expected = (0..length)
                    .map(|at| (0..4).fold(0, |sum, column| sum ^ multiply(code.coefficient(row, column), fragments[column][at])));
                assert!(expected.eq(fragment.iter().copied()), "length {length} row {row}");
            }
        }
    }

    #[test]
    fn too_few_fragments_and_wrong_shapes_are_refused() {
        let code = Code::new(2, 1).unwrap();
        let bytes = [0u8; 8];
        let mut out = [0u8; 8];
        assert!(code.rebuild(&[Some(&bytes), None, None], &[1], &mut [&mut out]).is_err());
        assert!(code.rebuild(&[Some(&bytes), Some(&bytes)], &[1], &mut [&mut out]).is_err());
        assert!(code.rebuild(&[Some(&bytes), Some(&bytes), None], &[3], &mut [&mut out]).is_err());
        assert!(code.rebuild(&[Some(&bytes), Some(&bytes[1..]), None], &[2], &mut [&mut out]).is_err());
        assert!(code.rebuild(&[Some(&bytes), Some(&bytes), None], &[2], &mut [&mut out[1..]]).is_err());
        assert!(code.encode(&[&bytes], &mut [&mut out]).is_err());
        assert!(Code::new(0, 1).is_err() && Code::new(33, 1).is_err() && Code::new(1, 9).is_err());
    }

    #[test]
    fn crc32c_has_its_known_values() {
        // RFC 3720, section B.4.
        assert_eq!(crc32c(&[]), 0);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }
}
