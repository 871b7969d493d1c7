//! Numbers as short as they can be read.

/// Bytes, `1.50 MiB`.
pub(crate) fn bytes(bytes: f64) -> String {
    scaled(bytes, 1024.0, &["bytes", "KiB", "MiB", "GiB", "TiB"])
}

/// Operations, `4.20 M`.
pub(crate) fn operations(operations: f64) -> String {
    scaled(operations, 1000.0, &["", "k", "M", "G", "T"])
}

/// Seconds, `64.00 us`.
pub(crate) fn seconds(seconds: f64) -> String {
    scaled(1e9 * seconds, 1000.0, &["ns", "us", "ms", "s"])
}

/// A number in the largest unit that leaves 1 or more of it.
fn scaled(number: f64, step: f64, units: &[&str]) -> String {
    let (mut scaled, mut unit) = (number, 0);
    while scaled >= step && unit + 1 < units.len() {
        (scaled, unit) = (scaled / step, unit + 1);
    }
    let places = if unit == 0 { 0 } else { 2 };
    format!("{scaled:.places$} {}", units[unit]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([17.0, 1536.0, 1e12].map(bytes), ["17 bytes", "1.50 KiB", "931.32 GiB"]);
        assert_eq!([0.0, 999.0, 4.2e6].map(operations), ["0", "999", "4.20 M"]);
        assert_eq!([2.5e-7, 0.0123, 61.0].map(seconds), ["250 ns", "12.30 ms", "61.00 s"]);
    }
}
