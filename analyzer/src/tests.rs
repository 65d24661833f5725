//! Tests of the whole analyzer.
