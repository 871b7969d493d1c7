//! Numbers of bytes as people write and read them.

/// The bytes that `8GiB`, `500MB` or `1048576` stand for.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no number of bytes; write for example 8GiB, 500MB or 1048576");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number = number.parse::<f64>().map_err(|_| wrong())?;
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024f64.powi(2),
        "g" | "gib" => 1024f64.powi(3),
        "t" | "tib" => 1024f64.powi(4),
        _ => return Err(wrong()),
    };
    let bytes = number * factor;
    if (1.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

/// Bytes in the largest binary unit that leaves a number of 1 or more.
pub fn bytes(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["bytes", "KiB", "MiB", "GiB", "TiB"])
}

/// A count of things in thousands, millions or billions.
pub fn count(n: u64) -> String {
    scaled(n, 1000.0, &["", "thousand", "million", "billion", "trillion"])
}

fn scaled(n: u64, step: f64, units: &[&str]) -> String {
    let (mut scaled, mut unit) = (n as f64, 0);
    while scaled >= step && unit + 1 < units.len() {
        (scaled, unit) = (scaled / step, unit + 1);
    }
    let text = if unit == 0 { format!("{n} {}", units[0]) } else { format!("{scaled:.2} {}", units[unit]) };
    text.trim_end().to_owned()
}

/// A token id, with or without spaces around it.
pub fn parse_id(word: &str) -> Result<u32, String> {
    word.trim().parse().map_err(|_| format!("`{word}` is no token id; ids are whole numbers, as in 1,2,3"))
}

/// A token id and what is added to its logit.
pub fn parse_bias(text: &str) -> Result<(u32, f32), String> {
    let wrong = || format!("`{text}` is no bias; write a token id and what to add, as in 15043=-2.5");
    let (id, bias) = text.split_once('=').ok_or_else(wrong)?;
    Ok((parse_id(id)?, bias.trim().parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_any_unit() {
        for (text, bytes) in
            [("1048576", 1 << 20), ("8GiB", 8 << 30), ("8g", 8 << 30), ("1.5 MB", 1_500_000), ("2kib", 2048)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "0", "-1", "1.2.3", "8 apples", "1e30", "99999999999999999999", "nan", "inf"]
        {
            assert!(parse_bytes(text).is_err_and(|error| error.contains("8GiB")), "{text}");
        }
    }

    #[test]
    fn numbers_are_written_with_a_unit() {
        assert_eq!(bytes(17), "17 bytes");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(bytes(u64::MAX), "16777216.00 TiB");
        assert_eq!(count(999), "999");
        assert_eq!(count(3_912_345), "3.91 million");
    }
}
