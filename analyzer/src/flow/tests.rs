//! Tests of the data-flow proof.
