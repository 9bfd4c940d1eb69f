//! The whole suite, one module by subject, in one program so that it links once.

mod support;
