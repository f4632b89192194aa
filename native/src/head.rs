//! The head of an event: where its parts stand in the text, and that they are what a level wants.

use crate::json::{Doubt, Escapes, Number, Scanner, Span, Sure, value_of};
use crate::rules::Rule;

/// What a level wants of an event; see `bridge.validation.Level`.
pub struct Level {
    /// The official schemas count: `ver`, `actor`, `context` and `edata` have to be there.
    pub official: bool,
    /// The types that are known, each with what is wanted of its `edata`.
    pub eids: Vec<(Vec<u8>, Rule)>,
    /// What is wanted of the `edata` of others: None says that there may be none; without a rule, anything goes.
    pub other: Option<Option<Rule>>,
}

/// The type of an event: its place in the level's table, or what it is called.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Eid {
    Known(usize),
    Other(Span),
}

/// A value that may be anything, of the kinds that are usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plain {
    Null,
    Whole(i64),
    Double(f64),
    Text(Span),
}

#[derive(Debug, PartialEq)]
pub struct Head {
    pub eid: Eid,
    pub ets: f64,
    pub ver: Option<Span>,
    pub mid: Span,
    pub actor: Option<Span>,
    pub context: Option<Span>,
    pub object: Option<Span>,
    pub tags: Option<Vec<Span>>,
    pub edata: Option<Span>,
    pub syncts: Plain,
    pub timestamp: Plain,
}

const VERSIONS: [&[u8]; 2] = [b"3.0", b"3.1"];
/// Digits of an integer that surely fits into 64 bits.
const SAFE_DIGITS: usize = 18;

/// What has been found so far; a key that comes twice is doubted.
#[derive(Default)]
struct Found {
    eid: Option<Eid>,
    ets: Option<f64>,
    ver: Option<Span>,
    mid: Option<Span>,
    actor: Option<Span>,
    context: Option<Span>,
    object: Option<Span>,
    tags: Option<Option<Vec<Span>>>,
    edata: Option<Span>,
    unchecked: bool,
    syncts: Option<Plain>,
    timestamp: Option<Plain>,
}

impl Level {
    /// Read the head of an event that surely is valid at this level.
    ///
    /// `known` are the actor, context and object of the event before, as they were written there.
    pub fn read(&self, text: &[u8], known: [&[u8]; 3]) -> Sure<Head> {
        let mut scanner = Scanner::new(text);
        let mut found = Found::default();
        scanner.object(|scanner, key| self.take(key, scanner, known, &mut found))?;
        scanner.finish()?;
        if found.unchecked {
            self.check_again(text, &found)?;
        }
        self.complete(found)
    }

    #[inline]
    fn take(&self, key: &[u8], scanner: &mut Scanner, known: [&[u8]; 3], found: &mut Found) -> Sure<()> {
        match key {
            b"eid" => once(&mut found.eid, self.eid(scanner)?),
            b"ets" => {
                let number = scanner.number()?;
                once(&mut found.ets, value_of(scanner.of(number.span)))
            }
            b"ver" => {
                let ver = plain_text(scanner)?;
                if self.official && !VERSIONS.contains(&scanner.of(ver)) {
                    return Err(Doubt);
                }
                once(&mut found.ver, ver)
            }
            b"mid" => once(&mut found.mid, filled_text(scanner)?),
            b"actor" => once(&mut found.actor, scanner.value_like(known[0])?),
            b"context" => once(&mut found.context, scanner.value_like(known[1])?),
            b"object" => once(&mut found.object, scanner.value_like(known[2])?),
            b"tags" => once(&mut found.tags, tags(scanner)?),
            b"edata" => {
                let span = self.edata(scanner, found)?;
                once(&mut found.edata, span)
            }
            b"syncts" => once(&mut found.syncts, plain(scanner)?),
            b"@timestamp" => once(&mut found.timestamp, plain(scanner)?),
            // So end the names under which the Python event keeps what no JSON may set.
            _ if key.ends_with(b" ()") => Err(Doubt),
            _ => scanner.value().map(|_| ()),
        }
    }

    fn eid(&self, scanner: &mut Scanner) -> Sure<Eid> {
        let span = filled_text(scanner)?;
        let name = scanner.of(span);
        match self.eids.iter().position(|(known, _)| known == name) {
            Some(place) => Ok(Eid::Known(place)),
            None if self.other.is_some() => Ok(Eid::Other(span)),
            None => Err(Doubt),
        }
    }

    /// Scan `edata`, and check it if its rule is known by now.
    fn edata(&self, scanner: &mut Scanner, found: &mut Found) -> Sure<Span> {
        let Some(eid) = found.eid else {
            found.unchecked = true;
            return scanner.value();
        };
        scanner.peek();
        let start = scanner.at;
        match self.rule(eid)? {
            Some(rule) => rule.check(scanner)?,
            None => return scanner.value(),
        }
        Ok(Span { start, end: scanner.at })
    }

    fn rule(&self, eid: Eid) -> Sure<Option<&Rule>> {
        match eid {
            Eid::Known(place) => Ok(Some(&self.eids[place].1)),
            Eid::Other(_) => self.other.as_ref().map(Option::as_ref).ok_or(Doubt),
        }
    }

    /// Check an `edata` that stands before the type of its event.
    fn check_again(&self, text: &[u8], found: &Found) -> Sure<()> {
        let (Some(eid), Some(edata)) = (found.eid, found.edata) else {
            return Err(Doubt);
        };
        match self.rule(eid)? {
            Some(rule) => rule.check(&mut Scanner::new(edata.of(text))),
            None => Ok(()),
        }
    }

    fn complete(&self, found: Found) -> Sure<Head> {
        let whole = found.ver.is_some() && found.actor.is_some() && found.context.is_some() && found.edata.is_some();
        if self.official && !whole {
            return Err(Doubt);
        }
        Ok(Head {
            eid: found.eid.ok_or(Doubt)?,
            ets: found.ets.ok_or(Doubt)?,
            ver: found.ver,
            mid: found.mid.ok_or(Doubt)?,
            actor: found.actor,
            context: found.context,
            object: found.object,
            tags: found.tags.flatten(),
            edata: found.edata,
            syncts: found.syncts.unwrap_or(Plain::Null),
            timestamp: found.timestamp.unwrap_or(Plain::Null),
        })
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Sure<()> {
    if slot.replace(value).is_some() { Err(Doubt) } else { Ok(()) }
}

fn plain_text(scanner: &mut Scanner) -> Sure<Span> {
    let text = scanner.string()?;
    if text.escapes == Escapes::None { Ok(text.span) } else { Err(Doubt) }
}

fn filled_text(scanner: &mut Scanner) -> Sure<Span> {
    let span = plain_text(scanner)?;
    if span.start < span.end { Ok(span) } else { Err(Doubt) }
}

fn tags(scanner: &mut Scanner) -> Sure<Option<Vec<Span>>> {
    if scanner.peek() == b'n' {
        scanner.null()?;
        return Ok(None);
    }
    let mut found = Vec::new();
    scanner.array(|scanner| plain_text(scanner).map(|span| found.push(span)))?;
    Ok(Some(found))
}

fn plain(scanner: &mut Scanner) -> Sure<Plain> {
    match scanner.peek() {
        b'n' => scanner.null().map(|()| Plain::Null),
        b'"' => plain_text(scanner).map(Plain::Text),
        b'0'..=b'9' => {
            let Number { span, whole } = scanner.number()?;
            let digits = scanner.of(span);
            if !whole {
                return Ok(Plain::Double(value_of(digits)));
            }
            if digits.len() > SAFE_DIGITS {
                return Err(Doubt);
            }
            Ok(Plain::Whole(digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'))))
        }
        _ => Err(Doubt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(official: bool) -> Level {
        Level { official, eids: vec![(b"LOG".to_vec(), Rule::Number { minimum: Some(2.0) })], other: None }
    }

    const PARTS: &str = r#""ets":1,"ver":"3.0","mid":"m","actor":{},"context":{}"#;

    #[test]
    fn checks_edata_on_either_side_of_its_type() {
        for (edata, valid) in [("3", true), ("1", false), ("\"3\"", false)] {
            let behind = format!(r#"{{"eid":"LOG",{PARTS},"edata":{edata}}}"#);
            let before = format!(r#"{{"edata":{edata},{PARTS},"eid":"LOG"}}"#);
            assert_eq!(level(true).read(behind.as_bytes(), [b""; 3]).is_ok(), valid);
            assert_eq!(level(true).read(before.as_bytes(), [b""; 3]).is_ok(), valid);
        }
    }

    #[test]
    fn doubts_what_is_missing_and_what_comes_twice() {
        let whole = format!(r#"{{"eid":"LOG",{PARTS},"edata":3}}"#);
        let head = level(true).read(whole.as_bytes(), [b""; 3]).expect("valid");
        assert_eq!(head.mid.of(whole.as_bytes()), b"m");
        for part in [r#""eid":"LOG","#, r#""ets":1,"#, r#""ver":"3.0","#, r#""mid":"m","#, r#""actor":{},"#] {
            assert!(whole.contains(part));
            assert!(level(true).read(whole.replace(part, "").as_bytes(), [b""; 3]).is_err(), "{part}");
            assert!(level(true).read(whole.replace(part, &part.repeat(2)).as_bytes(), [b""; 3]).is_err(), "{part}");
        }
        assert!(level(false).read(whole.replace(r#""ver":"3.0","#, "").as_bytes(), [b""; 3]).is_ok());
    }

    #[test]
    fn doubts_keys_that_no_event_may_set() {
        for key in ["raw ()", "digest ()", "original ()"] {
            let text = format!(r#"{{"eid":"LOG",{PARTS},"edata":3,"{key}":null}}"#);
            assert!(level(true).read(text.as_bytes(), [b""; 3]).is_err());
        }
    }
}
