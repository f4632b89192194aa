//! Numbers: their grammar, and the doubles they are.

use super::{Doubt, Scanner, Span, Sure};

/// A number with more characters than this is not read here.
const LONGEST_NUMBER: usize = 40;
/// Integers of so many digits are exact as a double.
const EXACT_DIGITS: usize = 15;

/// A number, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    pub span: Span,
    /// There is neither a fraction nor an exponent.
    pub whole: bool,
}

impl Scanner<'_> {
    #[inline]
    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - start
    }

    /// A number of the JSON grammar that a double can hold.
    pub fn number(&mut self) -> Sure<Number> {
        self.peek();
        let start = self.at;
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let zero = self.text.get(self.at) == Some(&b'0');
        let before = self.digits();
        if before == 0 || (zero && before > 1) {
            return Err(Doubt);
        }
        let mut whole = true;
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            whole = false;
            if self.digits() == 0 {
                return Err(Doubt);
            }
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            whole = false;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(Doubt);
            }
        }
        let number = Number { span: Span { start, end: self.at }, whole };
        let length = self.at - start;
        if length > LONGEST_NUMBER || (!whole && !value_of(number.span.of(self.text)).is_finite()) {
            return Err(Doubt);
        }
        Ok(number)
    }
}

/// The double nearest to a number of the JSON grammar.
pub fn value_of(digits: &[u8]) -> f64 {
    if digits.len() <= EXACT_DIGITS && digits.iter().all(u8::is_ascii_digit) {
        let sum = digits.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        #[allow(clippy::cast_precision_loss)] // fifteen digits are exact
        return sum as f64;
    }
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(f64::NAN)
}
