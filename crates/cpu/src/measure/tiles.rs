//! How fast tiles multiply: four sums at once, each operand used twice, as in the innermost loop of a product.

use simd::amx::{self, Config};

/// Products of tiles between two looks at the clock, of each sum.
const PRODUCTS: usize = 256;
/// Rows of a tile and bytes of a row.
const TILE: (u8, u16) = (16, 64);
/// Products of one byte each in a product of tiles: 16 by 16 sums over 64.
const BYTE_PRODUCTS: usize = 16 * 16 * 64;

#[repr(align(64))]
struct Operands([u8; 4 * 1024]);

/// Bytes that are small numbers, and pairs of which are no denormal bf16.
static OPERANDS: Operands = Operands([0x3f; 4 * 1024]);

/// Products of bytes; gives how many operations they were.
///
/// # Safety
/// The machine has tiles and this process may use them.
pub unsafe fn dot_i8() -> f64 {
    // SAFETY: as the caller says; the tiles are configured between `enter` and `release`.
    unsafe {
        enter();
        for _ in 0..PRODUCTS {
            amx::dot_i8_i8::<0, 4, 6>();
            amx::dot_i8_i8::<1, 5, 6>();
            amx::dot_i8_i8::<2, 4, 7>();
            amx::dot_i8_i8::<3, 5, 7>();
        }
        amx::release();
    }
    (2 * BYTE_PRODUCTS * 4 * PRODUCTS) as f64
}

/// Products of bf16, which are half as many in a tile; gives how many operations they were.
///
/// # Safety
/// The machine has tiles and this process may use them.
pub unsafe fn dot_bf16() -> f64 {
    // SAFETY: as the caller says; the tiles are configured between `enter` and `release`.
    unsafe {
        enter();
        for _ in 0..PRODUCTS {
            amx::dot_bf16::<0, 4, 6>();
            amx::dot_bf16::<1, 5, 6>();
            amx::dot_bf16::<2, 4, 7>();
            amx::dot_bf16::<3, 5, 7>();
        }
        amx::release();
    }
    (BYTE_PRODUCTS * 4 * PRODUCTS) as f64
}

/// Configures whole tiles and loads the operands.
///
/// # Safety
/// The machine has tiles and this process may use them. The caller releases them.
unsafe fn enter() {
    const CONFIG: Config = Config::new([TILE; 8]);
    let operands = OPERANDS.0.as_ptr();
    // SAFETY: there are tiles; each load reads a kilobyte of the four.
    unsafe {
        amx::configure(&CONFIG);
        amx::load::<4>(operands, 64);
        amx::load::<5>(operands.add(1024), 64);
        amx::load::<6>(operands.add(2048), 64);
        amx::load::<7>(operands.add(3072), 64);
    }
}
