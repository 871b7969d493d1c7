//! Tiles against their meaning in plain loops, where the machine has them.
#![cfg(target_arch = "x86_64")]

mod common;

use common::{Random, same_floats};
use simd::{amx, tiles};

/// Rows of A and C, rows of B (quarters or halves of A's), columns.
const SHAPES: [[usize; 3]; 7] =
    [[16, 16, 16], [1, 16, 16], [16, 1, 16], [5, 7, 16], [16, 16, 1], [3, 2, 9], [1, 1, 1]];

/// Three registers' worth of words; what a shape does not use is never looked at.
struct Operands {
    a: [[u32; 16]; 16],
    b: [[u32; 16]; 16],
    c: [[u32; 16]; 16],
}

impl Operands {
    fn of(mut word: impl FnMut() -> u32) -> Operands {
        let mut tile = || std::array::from_fn(|_| std::array::from_fn(|_| word()));
        Operands { a: tile(), b: tile(), c: tile() }
    }

    /// `C + A B` by a product of tiles; columns that the shape does not have stay as they are.
    fn by_tiles(&self, [m, k, n]: [usize; 3], product: unsafe fn()) -> [[u32; 16]; 16] {
        let (c, a, b) = ((m as u8, 4 * n as u16), (m as u8, 4 * k as u16), (k as u8, 4 * n as u16));
        let none = (0, 0);
        let config = amx::Config::new([c, none, none, none, a, none, b, none]);
        let mut out = self.c;
        // SAFETY: tests ask whether there are tiles first. Every tile lies within an array of 16 rows of 64 bytes.
        unsafe {
            amx::configure(&config);
            amx::load::<0>(self.c.as_ptr().cast(), 64);
            amx::load::<4>(self.a.as_ptr().cast(), 64);
            amx::load::<6>(self.b.as_ptr().cast(), 64);
            product();
            amx::store::<0>(out.as_mut_ptr().cast(), 64);
            amx::release();
        }
        out
    }

    fn by_bytes(&self, [m, k, n]: [usize; 3], b_is_signed: bool) -> [[u32; 16]; 16] {
        let a = self
            .a
            .map(|row| row[..k].iter().flat_map(|x| x.to_le_bytes()).map(|x| x as i8).collect::<Vec<_>>());
        let a = a[..m].iter().map(Vec::as_slice).collect::<Vec<_>>();
        let byte = |x: u8| if b_is_signed { i32::from(x as i8) } else { i32::from(x) };
        let b = self.b.map(|row| row.map(|x| x.to_le_bytes().map(byte)));
        let mut c = self.c.map(|row| row.map(|x| x as i32));
        tiles::dot_i8(&mut c[..m], &a, &b[..k]);
        self.within([m, n], c.map(|row| row.map(|x| x as u32)))
    }

    fn by_halves(&self, [m, k, n]: [usize; 3]) -> [[u32; 16]; 16] {
        let pair = |x: u32| [f32::from_bits(x << 16), f32::from_bits(x & 0xffff_0000)];
        let a = self.a.map(|row| row.map(pair));
        let a = a[..m].iter().map(|row| &row[..k]).collect::<Vec<_>>();
        let b = self.b.map(|row| row.map(pair));
        let mut c = self.c.map(|row| row.map(f32::from_bits));
        tiles::dot_bf16(&mut c[..m], &a, &b[..k]);
        self.within([m, n], c.map(|row| row.map(f32::to_bits)))
    }

    /// The rows and columns of the shape; elsewhere what was there.
    fn within(&self, [m, n]: [usize; 2], c: [[u32; 16]; 16]) -> [[u32; 16]; 16] {
        std::array::from_fn(|row| {
            std::array::from_fn(|column| if row < m && column < n { c } else { self.c }[row][column])
        })
    }
}

/// In several threads at once, each with tiles of its own shape.
fn in_threads(test: impl Fn(&mut Random, [usize; 3]) + Sync) {
    if !amx::is_present() {
        eprintln!("this machine has no tiles");
        return;
    }
    std::thread::scope(|scope| {
        for (seed, shape) in (1..).zip(SHAPES) {
            let test = &test;
            scope.spawn(move || {
                let mut random = Random(seed);
                (0..200).for_each(|_| test(&mut random, shape));
            });
        }
    });
}

#[test]
fn products_of_bytes() {
    in_threads(|random, shape| {
        let operands = Operands::of(|| random.bits());
        assert_eq!(operands.by_tiles(shape, amx::dot_i8_i8::<0, 4, 6>), operands.by_bytes(shape, true));
        assert_eq!(operands.by_tiles(shape, amx::dot_i8_u8::<0, 4, 6>), operands.by_bytes(shape, false));
    });
}

/// Of numbers that differ in magnitude, so that every other order of the sums would show.
#[test]
fn products_of_halves() {
    in_threads(|random, shape| {
        let mut half = |spread: u32| {
            let exponent = 127 - spread / 2 + random.bits() % spread;
            (random.bits() & 0x807f | exponent << 7) & 0xffff
        };
        let operands = Operands::of(|| half(20) | half(20) << 16);
        let (found, wanted) = (operands.by_tiles(shape, amx::dot_bf16::<0, 4, 6>), operands.by_halves(shape));
        assert_eq!(found, wanted);
    });
}

/// Any bits: denormals read, made and added to, infinities, what is no number.
#[test]
fn products_of_special_halves() {
    in_threads(|random, shape| {
        let small = random.bits() % 2 == 0;
        let mut word = || match random.bits() % 8 {
            0 => random.bits() & 0x807f_807f,
            1 => 0x7f80_0000 | random.bits() & 0x8000_ffff,
            // Products around the smallest normal number.
            _ if small => random.bits() & 0x83ff_83ff | 0x1c00_1c00,
            _ => random.bits(),
        };
        let operands = Operands::of(&mut word);
        let (found, wanted) = (operands.by_tiles(shape, amx::dot_bf16::<0, 4, 6>), operands.by_halves(shape));
        assert!(same_floats(found.as_flattened(), wanted.as_flattened()), "{found:x?}, not {wanted:x?}");
    });
}

/// Every product that kernels make is of the tiles that it names.
#[test]
fn tiles_are_told_apart() {
    if !amx::is_present() {
        return;
    }
    let config = amx::Config::new([(1, 4); 8]);
    // In each tile the byte of its own number.
    let words: [u32; 8] = std::array::from_fn(|tile| tile as u32 + 1);
    let mut out = [0u32; 8];
    // SAFETY: there are tiles; each is one word.
    unsafe {
        amx::configure(&config);
        amx::load::<0>((&raw const words[0]).cast(), 4);
        amx::load::<1>((&raw const words[1]).cast(), 4);
        amx::load::<4>((&raw const words[4]).cast(), 4);
        amx::load::<5>((&raw const words[5]).cast(), 4);
        amx::load::<6>((&raw const words[6]).cast(), 4);
        amx::load::<7>((&raw const words[7]).cast(), 4);
        amx::zero::<2>();
        amx::zero::<3>();
        amx::dot_i8_i8::<0, 4, 6>();
        amx::dot_i8_i8::<1, 5, 6>();
        amx::dot_i8_u8::<2, 4, 7>();
        amx::dot_i8_u8::<3, 5, 7>();
        amx::store::<0>((&raw mut out[0]).cast(), 4);
        amx::store::<1>((&raw mut out[1]).cast(), 4);
        amx::store::<2>((&raw mut out[2]).cast(), 4);
        amx::store::<3>((&raw mut out[3]).cast(), 4);
        amx::release();
    }
    assert_eq!(out[..4], [1 + 5 * 7, 2 + 6 * 7, 5 * 8, 6 * 8]);
}
