//! Buckets by name: `decode-8x4096` for eight sequences, `prefill-512x4096` for 512 tokens of one sequence and
//! `prefill-512x8x4096` of up to eight, each with up to 4096 positions.

use graph::Bucket;

/// Most tokens, sequences or positions in a name: beyond any model's, and far from overflow.
const MOST: u32 = 1 << 24;

/// Why a word names no bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{word}` names no bucket; write decode-SEQUENCESxPOSITIONS, prefill-TOKENSxPOSITIONS or prefill-TOKENSxSEQUENCESxPOSITIONS, such as decode-8x4096, with numbers from 1 to {MOST}"
)]
pub struct BucketError {
    /// The word.
    pub word: String,
}

/// The bucket of a name; positions are rounded up to whole pages.
pub fn bucket_named(word: &str, page_len: u32) -> Result<Bucket, BucketError> {
    let fail = || BucketError { word: word.to_owned() };
    let (kind, numbers) = word.split_once('-').ok_or_else(fail)?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|n| (1..=MOST).contains(n)).ok_or_else(fail);
    let numbers = numbers.split('x').map(number).collect::<Result<Vec<_>, _>>()?;
    let bucket = match (kind, &numbers[..]) {
        ("decode", &[seqs, positions]) => {
            Bucket { tokens: seqs, seqs, queries: 1, pages: positions, rows: seqs }
        }
        ("prefill", &[tokens, positions]) => {
            Bucket { tokens, seqs: 1, queries: 0, pages: positions, rows: 1 }
        }
        ("prefill", &[tokens, seqs, positions]) if seqs <= tokens => {
            Bucket { tokens, seqs, queries: 0, pages: positions, rows: seqs }
        }
        _ => return Err(fail()),
    };
    Ok(Bucket { pages: bucket.pages.div_ceil(page_len.max(1)), ..bucket })
}

/// What a bucket is called.
pub(crate) fn name(bucket: &Bucket, page_len: u32) -> String {
    let positions = u64::from(bucket.pages) * u64::from(page_len);
    match (bucket.queries, bucket.seqs) {
        (1, seqs) => format!("decode-{seqs}x{positions}"),
        (_, 1) => format!("prefill-{}x{positions}", bucket.tokens),
        (_, seqs) => format!("prefill-{}x{seqs}x{positions}", bucket.tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_mean_and_nothing_else_does() {
        for word in ["decode-8x4096", "prefill-512x4096", "prefill-512x8x4096", "decode-1x16"] {
            assert_eq!(name(&bucket_named(word, 16).unwrap(), 16), word);
        }
        assert_eq!(bucket_named("decode-2x100", 16).unwrap().pages, 7);
        for word in [
            "",
            "decode",
            "decode-",
            "decode-1",
            "decode-0x16",
            "decode-1x16x3x4",
            "mixed-1x16",
            "prefill-1x2x16",
        ] {
            assert!(bucket_named(word, 16).is_err(), "{word}");
        }
        assert!(bucket_named("decode-99999999999x1", 16).unwrap_err().to_string().contains("decode-8x4096"));
    }
}
