//! One file for each command.

pub mod broker;
pub mod config;
pub mod dag;
pub mod doctor;
pub mod generate;
pub mod login;
pub mod migrate;
pub mod models;
pub mod node;
pub mod reconcile;
pub mod run;
pub mod songs;
pub mod sql;
pub mod stream;
pub mod up;
pub mod user;
