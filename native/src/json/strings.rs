//! Strings: where they end, and how they are written.

use super::{Doubt, Scanner, Span, Sure};

/// How a string is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum Escapes {
    /// As it is.
    None,
    /// With the short escapes that every writer uses for what has to be escaped.
    Usual,
    /// With others: `\/`, `\u0041`.
    Odd,
}

/// A string; the quotes are not part of the span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    pub span: Span,
    pub escapes: Escapes,
}

const HIGH: u64 = 0x8080_8080_8080_8080;
const ONES: u64 = 0x0101_0101_0101_0101;

/// Bytes of a word that end a plain stretch of a string (quote, backslash, control character) have
/// their high bit set; bytes behind the first such one may have it, too.
fn stops(word: u64) -> u64 {
    let quote = word ^ (ONES * u64::from(b'"'));
    let slash = word ^ (ONES * u64::from(b'\\'));
    let found =
        quote.wrapping_sub(ONES) & !quote | slash.wrapping_sub(ONES) & !slash | word.wrapping_sub(ONES * 0x20) & !word;
    found & HIGH
}

/// The same for sixteen bytes at a time, each with a bit of its own.
#[cfg(target_arch = "x86_64")]
#[inline]
fn stops_16(bytes: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: every processor of this architecture has these instructions, and sixteen bytes are there to be read.
    unsafe {
        let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
        let slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
        let control = _mm_cmpeq_epi8(bytes, _mm_min_epu8(bytes, _mm_set1_epi8(0x1f)));
        _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, slash))) as u32
    }
}

impl Scanner<'_> {
    #[inline]
    pub fn string(&mut self) -> Sure<Text> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escapes = Escapes::None;
        loop {
            self.at += self.plain();
            match self.text.get(self.at) {
                Some(b'"') => {
                    let span = Span { start, end: self.at };
                    self.at += 1;
                    return Ok(Text { span, escapes });
                }
                Some(b'\\') => {
                    let found = self.escape()?;
                    if found > escapes {
                        escapes = found;
                    }
                }
                _ => return Err(Doubt),
            }
        }
    }

    /// How many bytes go by until a string's end, an escape, or what a string may not hold.
    #[inline]
    fn plain(&self) -> usize {
        let rest = &self.text[self.at..];
        let mut gone = 0;
        #[cfg(target_arch = "x86_64")]
        while let Some(chunk) = rest.get(gone..gone + 16) {
            let found = stops_16(chunk.try_into().expect("sixteen bytes"));
            if found != 0 {
                return gone + found.trailing_zeros() as usize;
            }
            gone += 16;
        }
        while let Some(chunk) = rest.get(gone..gone + 8) {
            let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
            let found = stops(word);
            if found != 0 {
                return gone + (found.trailing_zeros() / 8) as usize;
            }
            gone += 8;
        }
        let ends = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
        rest[gone..].iter().position(ends).map_or(rest.len(), |more| gone + more)
    }

    fn escape(&mut self) -> Sure<Escapes> {
        let letter = *self.text.get(self.at + 1).ok_or(Doubt)?;
        self.at += 2;
        match letter {
            b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(Escapes::Usual),
            b'/' => Ok(Escapes::Odd),
            b'u' => {
                let unit = self.unit()?;
                self.zero |= unit == 0;
                if (0xD800..0xDC00).contains(&unit) {
                    // The first half of a pair: the second must be next.
                    if self.text.get(self.at..self.at + 2) != Some(b"\\u") {
                        return Err(Doubt);
                    }
                    self.at += 2;
                    if !(0xDC00..0xE000).contains(&self.unit()?) {
                        return Err(Doubt);
                    }
                } else if (0xDC00..0xE000).contains(&unit) {
                    return Err(Doubt);
                }
                Ok(Escapes::Odd)
            }
            _ => Err(Doubt),
        }
    }

    fn unit(&mut self) -> Sure<u32> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Doubt)?;
        self.at += 4;
        digits.iter().try_fold(0, |sum, &digit| {
            let value = (digit as char).to_digit(16).ok_or(Doubt)?;
            Ok(sum * 16 + value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_stop_wherever_it_stands() {
        for length in 0..80 {
            for stop in ["\"", "\\", "\u{1f}", "\0"] {
                let text = "é".repeat(length / 2) + &"x".repeat(length % 2) + stop + "\"yyyyyyyyyyyyyyyyy";
                let scanner = Scanner::new(text.as_bytes());
                assert_eq!(scanner.plain(), length);
            }
        }
    }
}
