//! Pages and API in process, over a real Postgres with rows made through the store.

mod airflow;
mod api;
mod auth;
mod control;
mod dashboard;
mod forms;
mod fuzz;
mod large;
mod links;
mod logs;
mod metrics;
mod operate;
mod pages;
mod queries;
mod seed;
mod world;
