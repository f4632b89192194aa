//! The hours or days in which events happened. `bridge.model.Event.record_time` says when that is, and
//! `bridge_s3.mapping` by which time it may be taken instead.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyList};

use crate::json::{Doubt, Sure};

/// 9999-12-31T23:59:59.999Z
const LAST: i64 = 253_402_300_799_999;
/// How far a device's clock may be from the server's, in milliseconds.
const TRUSTED_DRIFT: f64 = 7.0 * 86_400_000.0;

/// Which span of `unit` milliseconds since 1970 each event lies in, and the places of those of which nothing is said; 0
/// stands for these. The time is the record time, or with `served` the server's, and the device's only where there is
/// none.
#[pyfunction]
pub fn spans<'py>(
    py: Python<'py>,
    events: &Bound<'py, PyList>,
    unit: i64,
    served: bool,
) -> PyResult<(Bound<'py, PyList>, Vec<usize>)> {
    let events = events.to_tuple(); // whatever Python code does to the list
    let spans = PyList::empty(py);
    let mut doubtful = Vec::new();
    let mut usual = (0, PyInt::new(py, 0));
    for (place, event) in events.iter_borrowed().enumerate() {
        let span = match time(&event, served)? {
            Ok(time) => time / unit,
            Err(Doubt) => {
                doubtful.push(place);
                0
            }
        };
        if span != usual.0 {
            usual = (span, PyInt::new(py, span));
        }
        spans.append(&usual.1)?;
    }
    Ok((spans, doubtful))
}

/// A time that a calendar has; surely the one that counts.
fn time(event: &Bound<'_, PyAny>, served: bool) -> PyResult<Sure<i64>> {
    let py = event.py();
    let ets = event.getattr(intern!(py, "ets"))?;
    let Ok(ets) = ets.cast_exact::<PyFloat>().map(|ets| ets.value()) else {
        return Ok(Err(Doubt));
    };
    if !(0.0..=LAST as f64).contains(&ets) {
        return Ok(Err(Doubt));
    }
    Ok(server(event)?.map(|server| match server {
        Some(server) if served || (ets - server as f64).abs() > TRUSTED_DRIFT => server,
        _ => ets as i64,
    }))
}

/// The server's time, None if there is none.
fn server(event: &Bound<'_, PyAny>) -> PyResult<Sure<Option<i64>>> {
    let py = event.py();
    let mut given = event.getattr(intern!(py, "syncts"))?;
    if given.is_none() {
        if !event.getattr(intern!(py, "timestamp"))?.is_none() {
            return Ok(Err(Doubt));
        }
        given = event.getattr(intern!(py, "received"))?;
        if given.is_none() {
            return Ok(Ok(None));
        }
    }
    let whole = given.cast_exact::<PyInt>().ok().and_then(|whole| whole.extract().ok());
    Ok(whole.filter(|time| (1..=LAST).contains(time)).map(Some).ok_or(Doubt))
}
