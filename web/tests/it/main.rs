//! Pages and API in process, over a real Postgres with rows made through the store.

mod api;
mod auth;
mod dashboard;
mod links;
mod logs;
mod pages;
mod seed;
mod world;
