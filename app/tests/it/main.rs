//! The binary as people use it.

mod bad_start;
mod dag_files;
mod platform;
mod support;
