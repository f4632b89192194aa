//! A bounded memory of identities; `bridge.engine.dedup` says what it promises.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// Identities are hashes already, but not of a secret: whoever writes events could choose those that collide.
#[derive(Clone)]
struct Keyed {
    keys: [u64; 2],
}

struct Folded {
    keys: [u64; 2],
    value: u64,
}

type Identities = HashSet<u128, Keyed>;

/// Remembers at least the last `size` identities and at most twice as many.
#[pyclass(module = "bridge_native")]
pub struct Window {
    #[pyo3(get)]
    size: usize,
    young: Identities,
    old: Identities,
}

#[pymethods]
impl Window {
    #[new]
    fn new(size: usize) -> Self {
        let state = RandomState::new();
        let keyed = Keyed { keys: [state.hash_one(0), state.hash_one(1)] };
        Window { size, young: HashSet::with_hasher(keyed.clone()), old: HashSet::with_hasher(keyed) }
    }

    /// For each identity whether it is new, remembering it; None when all of them are.
    fn fresh(&mut self, identities: &Bound<'_, PyList>) -> PyResult<Option<Vec<bool>>> {
        let identities = identities.iter().map(|one| number(&one)).collect::<PyResult<Vec<_>>>()?;
        self.young.reserve(identities.len());
        let old = &self.old;
        let young = &mut self.young;
        let verdict: Vec<bool> = identities.iter().map(|one| !old.contains(one) && young.insert(*one)).collect();
        if self.young.len() >= self.size {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        Ok(if verdict.contains(&false) { Some(verdict) } else { None })
    }
}

fn number(identity: &Bound<'_, PyAny>) -> PyResult<u128> {
    match identity.cast_exact::<PyBytes>()?.as_bytes().try_into() {
        Ok(bytes) => Ok(u128::from_ne_bytes(bytes)),
        Err(_) => Err(PyValueError::new_err("an identity has 16 bytes")),
    }
}

impl BuildHasher for Keyed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded { keys: self.keys, value: 0 }
    }
}

impl Hasher for Folded {
    fn write_u128(&mut self, identity: u128) {
        let [low, high] = [identity as u64, (identity >> 64) as u64];
        let product = u128::from(low ^ self.keys[0]) * u128::from(high ^ self.keys[1]);
        self.value = product as u64 ^ (product >> 64) as u64;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only identities are hashed");
    }

    fn finish(&self) -> u64 {
        self.value
    }
}
