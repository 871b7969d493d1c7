//! Tables of text.

/// Rows under one another, each column as wide as its widest entry: the first `left` of them to the left, the others to
/// the right. A column without entries is left out.
pub fn table<R: AsRef<[String]>>(rows: &[R], left: usize) -> String {
    let columns = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
    let chars = |cell: &String| cell.chars().count();
    let width = |column| rows.iter().filter_map(|row| row.as_ref().get(column)).map(chars).max();
    let widths = (0..columns).map(|column| width(column).unwrap_or(0)).collect::<Vec<_>>();
    let mut text = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths).enumerate().filter(|(_, (_, width))| **width > 0);
        let cells = cells.map(|(column, (cell, &width))| match column < left {
            true => format!("{cell:width$}"),
            false => format!("{cell:>width$}"),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let rows = [["a", "", "12"], ["long", "", "3"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows, 2), "a     12\nlong   3\n");
        let rows = [["ä", "b", "c"], ["long", "", "d"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows, 3), "ä     b  c\nlong     d\n");
    }
}
