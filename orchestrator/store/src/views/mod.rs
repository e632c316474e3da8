//! Read models: one file for each page or API resource, shaped as it is shown.
