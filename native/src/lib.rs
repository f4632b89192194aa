//! The hot loops of Sunbird Bridge. Optional: Python has each of them, too, and decides where these doubt.

mod around;
mod buffer;
mod form;
mod head;
mod heads;
mod joined;
mod json;
mod lines;
mod listed;
mod reader;
mod rows;
mod rules;
mod spans;
mod teller;
mod values;
mod window;

use pyo3::prelude::*;

#[pymodule]
mod bridge_native {
    #[pymodule_export]
    use crate::around::Around;
    #[pymodule_export]
    use crate::form::Form;
    #[pymodule_export]
    use crate::joined::joined;
    #[pymodule_export]
    use crate::lines::lines;
    #[pymodule_export]
    use crate::reader::Reader;
    #[pymodule_export]
    use crate::rows::join;
    #[pymodule_export]
    use crate::spans::spans;
    #[pymodule_export]
    use crate::teller::Teller;
    #[pymodule_export]
    use crate::window::Window;

    /// Raised when an argument or a meaning changes: the bridge uses a module of its own number only.
    #[pymodule_export]
    const API: u32 = 2;
}
