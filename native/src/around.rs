//! What neighbouring events share: found by Python for the first of a run, and given to the others.
//!
//! `bridge_posthog.around` says what each of it is, and does the same.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyList};

/// 2015-01-01, 9999-12-31 and five minutes, in milliseconds; numbers up to `EXACT` are whole in a double.
const FLOOR: f64 = 1_420_070_400_000.0;
const LAST: f64 = 253_402_300_799_999.0;
const AHEAD: f64 = 300_000.0;
const EXACT: i64 = 1 << 52;

/// Columns of times, settings, their openings, places, their pieces, and relations; behind the times the indices of
/// events whose clock was overruled.
type Columns<'py> = (
    Bound<'py, PyList>,
    Vec<usize>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Option<Bound<'py, PyList>>,
);

/// Finds what stands around `edata`, event by event.
#[pyclass(frozen, module = "bridge_native")]
pub struct Around {
    moment: Py<PyAny>,
    setting: Py<PyAny>,
    place: Py<PyAny>,
    grouped: bool,
    related: Option<[Py<PyAny>; 3]>,
}

/// The run of events that have one setting, from `since` to `until` (ms), and what it was made of.
struct Run<'py> {
    setting: Bound<'py, PyAny>,
    opening: Bound<'py, PyAny>,
    since: i64,
    until: i64,
    context: Bound<'py, PyAny>,
    made_of: [Bound<'py, PyAny>; 5],
    actor: Bound<'py, PyAny>,
    ver: Bound<'py, PyAny>,
}

/// What was found lately for two values: the events of a session go to and fro between a few.
struct Recent<'py, Found> {
    known: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>, Found)>,
    oldest: usize,
}

/// The relations of the event before, of what they are made, and each as a piece.
struct Relations<'py> {
    of: [Bound<'py, PyAny>; 3],
    pieces: [Bound<'py, PyBytes>; 3],
    recent: Recent<'py, Bound<'py, PyBytes>>,
}

#[pymethods]
impl Around {
    /// `moment` gives the time of an event and whether its clock was overruled; `setting` that of an event at
    /// its time, and from when to when it holds; `place` that of an event. Where places are `grouped` by more
    /// than setting and object, each is asked for. `related` makes pieces of `cdata`, `rollup` and `tags`.
    #[new]
    #[pyo3(signature = (*, moment, setting, place, grouped, related))]
    fn new(
        moment: Py<PyAny>,
        setting: Py<PyAny>,
        place: Py<PyAny>,
        grouped: bool,
        related: Option<[Py<PyAny>; 3]>,
    ) -> Self {
        Around { moment, setting, place, grouped, related }
    }

    /// What stands around each of some events.
    fn along<'py>(&self, py: Python<'py>, events: &Bound<'py, PyList>) -> PyResult<Columns<'py>> {
        let events = events.to_tuple(); // whatever Python code does to the list
        let [times, settings, openings, places, pieces] = [(); 5].map(|()| PyList::empty(py));
        let mut relations = self.related.as_ref().map(|_| (PyList::empty(py), Relations::none(py)));
        let mut overruled = Vec::new();
        let mut run: Option<Run<'py>> = None;
        let mut recent: Recent<'py, (Bound<'py, PyAny>, Bound<'py, PyAny>)> = Recent::new();
        for (index, event) in events.iter_borrowed().enumerate() {
            let (at, corrected) = self.time(&event)?;
            if corrected {
                overruled.push(index);
            }
            times.append(at)?;
            let context = event.getattr(intern!(py, "context"))?;
            if let (Some(make), Some((column, before))) = (&self.related, &mut relations) {
                column.append(before.of(make, &event, &context)?)?;
            }
            let thing = event.getattr(intern!(py, "object"))?;
            let run = match &mut run {
                Some(run) if run.holds(&event, &context, at)? => {
                    run.context = context.clone();
                    run
                }
                _ => run.insert(self.run(&event, context.clone(), at)?),
            };
            settings.append(&run.setting)?;
            openings.append(&run.opening)?;
            let channel = context.getattr(intern!(py, "channel"))?;
            let known = if self.grouped { None } else { recent.find(&thing, &channel)? };
            if let Some((place, piece)) = known {
                places.append(place)?;
                pieces.append(piece)?;
            } else {
                let place = self.place.bind(py).call1((&*event,))?;
                let piece = place.getattr(intern!(py, "piece"))?;
                places.append(&place)?;
                pieces.append(&piece)?;
                recent.keep(&thing, &channel, (place, piece));
            }
        }
        let relations = relations.map(|(column, _)| column);
        Ok((times, overruled, settings, openings, places, pieces, relations))
    }
}

impl Around {
    /// When an event happened (ms), and whether its device's clock was overruled; Python has the unusual cases.
    fn time(&self, event: &Bound<'_, PyAny>) -> PyResult<(i64, bool)> {
        let py = event.py();
        let ets = event.getattr(intern!(py, "ets"))?;
        let syncts = event.getattr(intern!(py, "syncts"))?;
        if let Ok(ets) = ets.cast_exact::<PyFloat>() {
            let ets = ets.value();
            if plausible(event, ets, &syncts)? {
                return Ok((ets as i64, false));
            }
        }
        self.moment.bind(py).call1((event,))?.extract()
    }

    fn run<'py>(&self, event: &Bound<'py, PyAny>, context: Bound<'py, PyAny>, at: i64) -> PyResult<Run<'py>> {
        let py = event.py();
        let (setting, since, until): (Bound<'_, PyAny>, _, _) = self.setting.bind(py).call1((event, at))?.extract()?;
        let opening = setting.getattr(intern!(py, "opening"))?;
        let actor = event.getattr(intern!(py, "actor"))?;
        let ver = event.getattr(intern!(py, "ver"))?;
        Ok(Run { setting, opening, since, until, made_of: made_of(&context)?, context, actor, ver })
    }
}

impl<'py> Run<'py> {
    fn holds(&self, event: &Bound<'py, PyAny>, context: &Bound<'py, PyAny>, at: i64) -> PyResult<bool> {
        let py = event.py();
        if !(self.since..self.until).contains(&at)
            || !same(&event.getattr(intern!(py, "actor"))?, &self.actor)?
            || !same(&event.getattr(intern!(py, "ver"))?, &self.ver)?
        {
            return Ok(false);
        }
        if context.is(&self.context) {
            return Ok(true);
        }
        for (one, other) in made_of(context)?.iter().zip(&self.made_of) {
            if !same(one, other)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<'py, Found> Recent<'py, Found> {
    const MOST: usize = 8;

    fn new() -> Self {
        Recent { known: Vec::with_capacity(Self::MOST), oldest: 0 }
    }

    /// `one` has to be the same value, `other` an equal one.
    fn find(&self, one: &Bound<'py, PyAny>, other: &Bound<'py, PyAny>) -> PyResult<Option<&Found>> {
        for (first, second, found) in &self.known {
            if first.is(one) && same(second, other)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn keep(&mut self, one: &Bound<'py, PyAny>, other: &Bound<'py, PyAny>, found: Found) {
        let entry = (one.clone(), other.clone(), found);
        if self.known.len() < Self::MOST {
            self.known.push(entry);
        } else {
            self.known[self.oldest] = entry;
            self.oldest = (self.oldest + 1) % Self::MOST;
        }
    }
}

impl<'py> Relations<'py> {
    fn none(py: Python<'py>) -> Self {
        let (nothing, blank) = (|| py.None().into_bound(py), || PyBytes::new(py, b""));
        Relations { of: [nothing(), nothing(), nothing()], pieces: [blank(), blank(), blank()], recent: Recent::new() }
    }

    fn of(
        &mut self,
        make: &[Py<PyAny>; 3],
        event: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let py = event.py();
        let tags = event.getattr(intern!(py, "tags"))?;
        if let Some(known) = self.recent.find(context, &tags)? {
            return Ok(known.clone());
        }
        let found = [context.getattr(intern!(py, "cdata"))?, context.getattr(intern!(py, "rollup"))?, tags.clone()];
        for (index, found) in found.into_iter().enumerate() {
            if !same(&found, &self.of[index])? {
                self.pieces[index] = make[index].bind(py).call1((&found,))?.cast_into()?;
                self.of[index] = found;
            }
        }
        let all = PyBytes::new(py, &self.pieces.each_ref().map(|piece| piece.as_bytes()).concat());
        self.recent.keep(context, &tags, all.clone());
        Ok(all)
    }
}

/// Whether the device's clock is to be believed, and nothing else has to be asked.
fn plausible(event: &Bound<'_, PyAny>, ets: f64, syncts: &Bound<'_, PyAny>) -> PyResult<bool> {
    if syncts.is_none() {
        return Ok((0.0..=LAST).contains(&ets) && event.getattr(intern!(event.py(), "timestamp"))?.is_none());
    }
    let Some(server) = syncts.cast_exact::<PyInt>().ok().and_then(|server| server.extract::<i64>().ok()) else {
        return Ok(false);
    };
    Ok((FLOOR..=LAST).contains(&ets) && (0..EXACT).contains(&server) && ets <= server as f64 + AHEAD)
}

/// What of a context a setting is made of.
fn made_of<'py>(context: &Bound<'py, PyAny>) -> PyResult<[Bound<'py, PyAny>; 5]> {
    let py = context.py();
    Ok([
        context.getattr(intern!(py, "did"))?,
        context.getattr(intern!(py, "sid"))?,
        context.getattr(intern!(py, "channel"))?,
        context.getattr(intern!(py, "env"))?,
        context.getattr(intern!(py, "pdata"))?,
    ])
}

/// Whether two values are equal; those of one session are mostly one.
fn same(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
    if one.is(other) { Ok(true) } else { one.eq(other) }
}
