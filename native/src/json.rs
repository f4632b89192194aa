//! A JSON scanner that is stricter than JSON: what it takes, every parser takes and reads in one way.
//!
//! It works on one line of valid UTF-8. Where it answers `Doubt`, nothing has been said of the text:
//! a slower and exact judge is to be asked.

mod numbers;
mod strings;

pub use numbers::{Number, value_of};
pub use strings::Escapes;

/// The text is not JSON, or is JSON that parsers may read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt;

pub type Sure<T> = Result<T, Doubt>;

/// Arrays and objects that may be open at once; `bridge.jsontext.MAX_DEPTH`.
pub const MAX_DEPTH: usize = 700;
/// Where a value stands in the text: from its first byte to behind its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start..self.end]
    }
}

pub struct Scanner<'a> {
    text: &'a [u8],
    pub at: usize,
    depth: usize,
    /// Some string has the character zero in it.
    pub zero: bool,
    /// A bit for each depth: what is open there is an object.
    objects: [u64; MAX_DEPTH / 64 + 1],
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Scanner { text, at: 0, depth: 0, zero: false, objects: [0; MAX_DEPTH / 64 + 1] }
    }

    pub fn of(&self, span: Span) -> &'a [u8] {
        span.of(self.text)
    }

    /// The next byte that is no blank, which is not taken; 0 at the end. A line break ends the text.
    #[inline]
    pub fn peek(&mut self) -> u8 {
        while let Some(&byte) = self.text.get(self.at) {
            if byte != b' ' && byte != b'\t' {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    #[inline]
    pub fn expect(&mut self, byte: u8) -> Sure<()> {
        if self.peek() != byte {
            return Err(Doubt);
        }
        self.at += 1;
        Ok(())
    }

    /// There is no blank here.
    #[inline]
    pub fn tight(&self) -> Sure<()> {
        if matches!(self.text.get(self.at), Some(b' ' | b'\t')) { Err(Doubt) } else { Ok(()) }
    }

    /// Nothing but blanks is left.
    pub fn finish(&mut self) -> Sure<()> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { Err(Doubt) }
    }

    /// Open an array or object, whose first byte is next.
    #[inline]
    pub fn open(&mut self) -> Sure<()> {
        self.at += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Doubt) } else { Ok(()) }
    }

    /// Go on behind an item: true if another follows, false if `end` closed it.
    #[inline]
    pub fn another(&mut self, end: u8) -> Sure<bool> {
        let byte = self.peek();
        self.at += 1;
        if byte == b',' {
            return Ok(true);
        }
        if byte != end {
            return Err(Doubt);
        }
        self.depth -= 1;
        Ok(false)
    }

    /// Begin the items of what has been opened: true if there is one.
    #[inline]
    pub fn any(&mut self, end: u8) -> bool {
        if self.peek() != end {
            return true;
        }
        self.at += 1;
        self.depth -= 1;
        false
    }

    /// Take an array, each of its items by `item`.
    #[inline]
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Sure<()>) -> Sure<()> {
        if self.peek() != b'[' {
            return Err(Doubt);
        }
        self.open()?;
        let mut more = self.any(b']');
        while more {
            item(self)?;
            more = self.another(b']')?;
        }
        Ok(())
    }

    /// Take an object, the value behind each of its keys by `member`.
    #[inline]
    pub fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Sure<()>) -> Sure<()> {
        if self.peek() != b'{' {
            return Err(Doubt);
        }
        self.open()?;
        let mut more = self.any(b'}');
        while more {
            let key = self.key()?;
            member(self, key)?;
            more = self.another(b'}')?;
        }
        Ok(())
    }

    /// A key and its colon; one with escapes could be another's double.
    #[inline]
    pub fn key(&mut self) -> Sure<&'a [u8]> {
        let text = self.string()?;
        self.expect(b':')?;
        if text.escapes == Escapes::None { Ok(self.of(text.span)) } else { Err(Doubt) }
    }

    fn word(&mut self, word: &[u8]) -> Sure<()> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(Doubt)
    }

    pub fn null(&mut self) -> Sure<()> {
        self.word(b"null")
    }

    /// Any value. If it is an object that stands here as `known`, which has been scanned before, it ends where that did.
    pub fn value_like(&mut self, known: &[u8]) -> Sure<Span> {
        if self.peek() == b'{' && !known.is_empty() && self.text[self.at..].starts_with(known) {
            let start = self.at;
            self.at += known.len();
            return Ok(Span { start, end: self.at });
        }
        self.value()
    }

    /// Any value; the span holds all of it, quotes and brackets included.
    pub fn value(&mut self) -> Sure<Span> {
        let first = self.peek();
        let start = self.at;
        match first {
            b'{' | b'[' => self.container()?,
            _ => self.scalar(first)?,
        }
        Ok(Span { start, end: self.at })
    }

    fn scalar(&mut self, first: u8) -> Sure<()> {
        match first {
            b'"' => self.string().map(|_| ()),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.null(),
            _ => self.number().map(|_| ()),
        }
    }

    /// An array or object with all that is in it; without recursion, since some threads have small stacks.
    fn container(&mut self) -> Sure<()> {
        let around = self.depth;
        loop {
            match self.peek() {
                first @ (b'{' | b'[') => {
                    self.open()?;
                    let is_object = first == b'{';
                    self.remember(is_object);
                    if self.any(if is_object { b'}' } else { b']' }) {
                        self.name(is_object)?;
                        continue;
                    }
                }
                first => self.scalar(first)?,
            }
            // A value has ended, and with it what it is the last of.
            loop {
                if self.depth == around {
                    return Ok(());
                }
                let is_object = self.is_object();
                if self.another(if is_object { b'}' } else { b']' })? {
                    self.name(is_object)?;
                    break;
                }
            }
        }
    }

    /// What stands before a value in an object.
    #[inline]
    fn name(&mut self, is_object: bool) -> Sure<()> {
        if is_object {
            self.string()?;
            self.expect(b':')?;
        }
        Ok(())
    }

    /// Keep in mind what has been opened last.
    #[inline]
    fn remember(&mut self, is_object: bool) {
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        if is_object {
            self.objects[word] |= bit;
        } else {
            self.objects[word] &= !bit;
        }
    }

    #[inline]
    fn is_object(&self) -> bool {
        self.objects[self.depth / 64] & 1 << (self.depth % 64) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Sure<Span> {
        let mut scanner = Scanner::new(text.as_bytes());
        let span = scanner.value()?;
        scanner.finish()?;
        Ok(span)
    }

    #[test]
    fn takes_what_is_json() {
        for text in [
            "{}",
            "[]",
            " {\"a\" : [1, -2.5e-3, true, false, null, \"\"] } ",
            "\"\\u00e9 \\ud83d\\ude00 \\n\\/\"",
            "0",
            "-0.0",
            "1E5",
            "\"हिन्दी is longer than eight bytes\"",
            "[[[[{}]]]]",
        ] {
            assert!(whole(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn doubts_the_rest() {
        for text in [
            "",
            "{",
            "}",
            "{]",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\"}",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "-",
            "nul",
            "truely",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\t\"",
            "1e999",
            "[1]\n",
            "{\"a\":1}{}",
            "NaN",
            "'a'",
            "1111111111111111111111111111111111111111111111111111111111",
        ] {
            assert!(whole(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bounds_the_depth() {
        let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
        assert!(whole(&nested(MAX_DEPTH)).is_ok());
        assert!(whole(&nested(MAX_DEPTH + 1)).is_err());
    }
}
