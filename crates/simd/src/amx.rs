//! AMX tiles: eight registers of up to sixteen rows of sixty-four bytes, and products of them.
//!
//! The language has no stable intrinsics for them, so each instruction is inline assembly. The registers belong to the
//! thread between [`configure`] and [`release`]; [`crate::tiles`] says in plain loops what the products mean.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

/// Whether the machine has int8 and bf16 tiles and the kernel lets this process use them.
pub fn is_present() -> bool {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    *PRESENT.get_or_init(|| has_instructions() && is_permitted())
}

/// Leaf 7: bit 22 bf16, bit 24 tiles, bit 25 int8.
fn has_instructions() -> bool {
    let leaf = __cpuid_count(7, 0);
    let wanted = 1 << 22 | 1 << 24 | 1 << 25;
    __cpuid_count(0, 0).eax >= 7 && leaf.edx & wanted == wanted
}

/// Asks Linux for the permission to use tile data (`arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`), which it
/// gives for all threads of the process.
fn is_permitted() -> bool {
    if cfg!(not(target_os = "linux")) {
        return false;
    }
    const ARCH_PRCTL: i64 = 158;
    const REQUEST: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let result: i64;
    // SAFETY: the call changes nothing but this permission; the kernel clobbers rcx and r11.
    unsafe {
        asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") REQUEST, in("rsi") TILE_DATA,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result == 0
}

/// Rows and bytes per row of each tile.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// Tiles of these rows and bytes per row, the first for tile 0.
    pub const fn new(tiles: [(u8, u16); 8]) -> Config {
        let mut config =
            Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        let mut i = 0;
        while i < 8 {
            assert!(tiles[i].0 <= 16 && tiles[i].1 <= 64, "a tile has at most 16 rows of 64 bytes");
            config.rows[i] = tiles[i].0;
            config.row_bytes[i] = tiles[i].1;
            i += 1;
        }
        config
    }
}

/// Gives this thread tiles of these shapes, all zero.
///
/// # Safety
/// [`is_present`] holds. The thread calls [`release`] when it is done.
#[inline(always)]
pub unsafe fn configure(config: &Config) {
    // SAFETY: the caller says that there are tiles. The memory clobber keeps the stores into `config` before it.
    unsafe { asm!("ldtilecfg [{}]", in(reg) config, options(nostack)) }
}

/// Gives the tiles back.
///
/// # Safety
/// [`is_present`] holds.
#[inline(always)]
pub unsafe fn release() {
    // SAFETY: the caller says that there are tiles.
    unsafe { asm!("tilerelease", options(nostack)) }
}

/// The eight tile registers by number, with what can be done to them. Each instruction reads and writes what its tiles'
/// configured shapes say.
macro_rules! tile {
    ($($n:literal)+) => {
        /// Sets tile `T` to zero.
        ///
        /// # Safety
        /// This thread's tiles are configured.
        #[inline(always)]
        pub unsafe fn zero<const T: u8>() {
            // SAFETY: as the caller says.
            unsafe {
                match T {
                    $($n => asm!(concat!("tilezero tmm", $n), options(nostack, nomem)),)+
                    _ => unreachable!("there are eight tiles"),
                }
            }
        }

        /// Loads tile `T` from rows that lie `stride` bytes apart.
        ///
        /// # Safety
        /// This thread's tiles are configured, and the tile's bytes of each of its rows may be read.
        #[inline(always)]
        pub unsafe fn load<const T: u8>(from: *const u8, stride: usize) {
            // SAFETY: as the caller says.
            unsafe {
                match T {
                    $($n => asm!(concat!("tileloadd tmm", $n, ", [{0} + {1}]"), in(reg) from, in(reg) stride,
                        options(nostack, readonly)),)+
                    _ => unreachable!("there are eight tiles"),
                }
            }
        }

        /// Stores tile `T` into rows that lie `stride` bytes apart.
        ///
        /// # Safety
        /// This thread's tiles are configured, and the tile's bytes of each of its rows may be written.
        #[inline(always)]
        pub unsafe fn store<const T: u8>(to: *mut u8, stride: usize) {
            // SAFETY: as the caller says.
            unsafe {
                match T {
                    $($n => asm!(concat!("tilestored [{0} + {1}], tmm", $n), in(reg) to, in(reg) stride,
                        options(nostack)),)+
                    _ => unreachable!("there are eight tiles"),
                }
            }
        }
    };
}

tile!(0 1 2 3 4 5 6 7);

/// A product of tiles for each choice of accumulator, first and second operand that kernels make.
macro_rules! product {
    ($(#[$doc:meta])* $name:ident, $instruction:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// This thread's tiles are configured, with shapes that fit each other.
        #[inline(always)]
        pub unsafe fn $name<const C: u8, const A: u8, const B: u8>() {
            // SAFETY: as the caller says.
            unsafe {
                product_arms!($instruction, C, A, B,
                    (0 4 6) (1 5 6) (2 4 7) (3 5 7)
                    (0 4 7) (1 5 7) (2 5 6) (3 4 7)
                    (1 4 7) (2 4 6) (3 4 6) (1 4 6) (0 6 7) (1 6 7) (2 5 7) (0 4 5) (1 4 5) (2 6 7) (3 6 7))
            }
        }
    };
}

macro_rules! product_arms {
    ($instruction:literal, $C:ident, $A:ident, $B:ident, $(($c:literal $a:literal $b:literal))+) => {
        match ($C, $A, $B) {
            $(($c, $a, $b) => asm!(concat!($instruction, " tmm", $c, ", tmm", $a, ", tmm", $b),
                options(nostack, nomem)),)+
            _ => unreachable!("a kernel that wants other tiles adds them to the list"),
        }
    };
}

product! {
    /// `C += A B`, signed bytes by signed bytes.
    dot_i8_i8, "tdpbssd"
}
product! {
    /// `C += A B`, signed bytes of `A` by unsigned bytes of `B`.
    dot_i8_u8, "tdpbsud"
}
product! {
    /// `C += A B`, pairs of bf16 into f32.
    dot_bf16, "tdpbf16ps"
}
