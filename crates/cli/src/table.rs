//! Tables of text.

/// Rows under one another, each column as wide as its widest entry.
pub fn table<R: AsRef<[String]>>(rows: &[R]) -> String {
    let columns = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
    let width = |column| rows.iter().filter_map(|row| row.as_ref().get(column)).map(String::len).max();
    let widths = (0..columns).map(|column| width(column).unwrap_or(0)).collect::<Vec<_>>();
    let mut text = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_entry() {
        let rows = [["a", "b", "c"], ["long", "", "d"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "a     b  c\nlong     d\n");
    }
}
