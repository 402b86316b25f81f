//! The C interface of ISA-L 2.30 and its safe wrappers: the only unsafe code of this crate.
//!
//! Source: isa-l/erasure_code.h and isa-l/crc.h. The functions pick the best instruction set at run time, need no alignment,
//! keep no state and read inputs only, although C declares some of them without const.

use std::ffi::{c_int, c_uchar, c_uint};

unsafe extern "C" {
    fn crc32_iscsi(buffer: *const c_uchar, length: c_int, init: c_uint) -> c_uint;
    fn gf_gen_cauchy1_matrix(matrix: *mut c_uchar, rows: c_int, columns: c_int);
    fn gf_invert_matrix(input: *mut c_uchar, output: *mut c_uchar, size: c_int) -> c_int;
    fn ec_init_tables(columns: c_int, rows: c_int, matrix: *const c_uchar, tables: *mut c_uchar);
    fn ec_encode_data(
        length: c_int,
        columns: c_int,
        rows: c_int,
        tables: *const c_uchar,
        data: *const *const c_uchar,
        coding: *const *mut c_uchar,
    );
    fn gf_mul(left: c_uchar, right: c_uchar) -> c_uchar;
}

/// Longest run that goes to C in one call: lengths are int there.
const RUN_BYTES: usize = 1 << 30;

/// CRC32C (Castagnoli, reflected, as in iSCSI and ext4) of all bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    bytes.chunks(RUN_BYTES).fold(!0, |crc, run| {
        // SAFETY: the pointer and length come from a slice; a run fits an int.
        unsafe { crc32_iscsi(run.as_ptr(), run.len() as c_int, crc) }
    }) ^ !0
}

pub(crate) fn multiply(left: u8, right: u8) -> u8 {
    // SAFETY: a pure function of two bytes.
    unsafe { gf_mul(left, right) }
}

/// `rows` x `columns` coefficients: the identity above, 1 / (row ^ column) below.
pub(crate) fn cauchy_matrix(rows: usize, columns: usize) -> Vec<u8> {
    assert!(columns > 0 && rows >= columns && rows <= 255, "{rows} x {columns} is a matrix over GF(2^8)");
    let mut matrix = vec![0; rows * columns];
    // SAFETY: the matrix has rows * columns bytes, which is what the function fills.
    unsafe { gf_gen_cauchy1_matrix(matrix.as_mut_ptr(), rows as c_int, columns as c_int) };
    matrix
}

/// None for a singular matrix.
pub(crate) fn inverse(mut matrix: Vec<u8>, size: usize) -> Option<Vec<u8>> {
    assert!(size > 0 && size <= 255 && matrix.len() == size * size, "the matrix is square");
    let mut result = vec![0; size * size];
    // SAFETY: both matrices have size * size bytes; the input is ours and may be destroyed.
    let failed = unsafe { gf_invert_matrix(matrix.as_mut_ptr(), result.as_mut_ptr(), size as c_int) };
    (failed == 0).then_some(result)
}

/// Coefficients in the form that the vector code reads: 32 bytes each.
pub(crate) struct Tables {
    bytes: Vec<u8>,
    columns: usize,
    rows: usize,
}

impl Tables {
    pub(crate) fn new(matrix: &[u8], rows: usize, columns: usize) -> Tables {
        assert!(rows <= 255 && columns <= 255 && matrix.len() == rows * columns, "the matrix has {rows} rows of {columns}");
        let mut bytes = vec![0; matrix.len() * 32];
        // SAFETY: reads rows * columns coefficients and writes 32 bytes for each, which is what both have.
        unsafe { ec_init_tables(columns as c_int, rows as c_int, matrix.as_ptr(), bytes.as_mut_ptr()) };
        Tables { bytes, columns, rows }
    }

    /// Each output becomes the sum of the inputs, weighted by its row. All slices have the same length.
    pub(crate) fn apply(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        assert!(inputs.len() == self.columns && outputs.len() == self.rows, "as many slices as coefficients");
        let length = inputs.first().map_or(0, |input| input.len());
        assert!(length <= RUN_BYTES, "a length fits an int");
        assert!(inputs.iter().all(|input| input.len() == length), "inputs have one length");
        assert!(outputs.iter().all(|output| output.len() == length), "outputs have the inputs' length");
        if length == 0 || self.rows == 0 {
            return;
        }
        let data: Vec<*const c_uchar> = inputs.iter().map(|input| input.as_ptr()).collect();
        let coding: Vec<*mut c_uchar> = outputs.iter_mut().map(|output| output.as_mut_ptr()).collect();
        // SAFETY: `columns` readable and `rows` writable ranges of `length` bytes, which do not overlap because they were borrowed
        // as & and &mut; the tables have 32 * rows * columns bytes.
        unsafe {
            ec_encode_data(length as c_int, self.columns as c_int, self.rows as c_int, self.bytes.as_ptr(), data.as_ptr(), coding.as_ptr())
        };
    }
}
