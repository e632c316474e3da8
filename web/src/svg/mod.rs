//! Drawings, made on the server as plain SVG: they print, need no script, and can be tested. Colours come from CSS classes.

pub mod bars;
pub mod chart;
pub mod donut;
pub mod gantt;
pub mod graph;
pub mod heat;
pub mod layout;
pub mod map;
pub mod share;
pub mod spark;
pub mod year;
