//! Columns of text, and numbers as short as they can be read.

/// Rows under one another, each column as wide as its widest entry: the first `left` of them to the left, the others to
/// the right.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], left: usize) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate().filter(|(_, (_, width))| *width > 0)
        {
            let gap = if line.is_empty() { "" } else { "  " };
            line += &match column < left {
                true => format!("{gap}{cell:width$}"),
                false => format!("{gap}{cell:>width$}"),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

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

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let rows = [["a", "", "12"], ["long", "", "3"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows, 2), "a     12\nlong   3\n");
    }
}
