//! The Python face of the data plane. No rule lives here.
